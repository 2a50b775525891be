"""Whole audits with an attacker in a process of its own: what it is given, what comes back, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from markupsafe import escape

from interface.formatting import human_share
from splitcore.attacks.choice import LeakChannel
from splitcore.attacks.figures import Truth
from splitcore.audit.attacker import _words
from splitcore.audit.capture import plan_of
from splitcore.audit.ceiling import blind_of, ceiling_of
from splitcore.audit.leaks.found import LEAKS
from splitcore.audit.null import null_figures
from splitcore.audit.observer import _plain_environment
from splitcore.audit.portfolio import Portfolio, portfolio
from splitcore.audit.report import report_html
from splitcore.audit.result import AttackResult, AuditResult
from splitcore.audit.rows import share_out
from splitcore.audit.run import Progress, audit
from splitcore.audit.scoring import Scored
from splitcore.data.tokenise import IGNORED, encode_rows
from splitcore.errors import AppError
from splitcore.models.loading import read_tokenizer
from splitcore.training.tests.conftest import run_config
from splitcore.training.tests.test_sequence_task import labelled, sequence_config

Model = Callable[[str], Path]
NOTES = [{"prompt": f"Qzl{i:02d}, day {i * 7 % 31}:", "completion": f" ward {i * 5 % 17}"} for i in range(48)]
BARE = {"split": {"head_layers": 0}}
DEEP = {"split": {"head_layers": 2, "tail_layers": 1}}


def small(**changes: Any) -> Portfolio:
    """Few records and the weakest attack, which reads everything of a run without a head."""
    sizes = {"records": 16, "least_records": 8, "least_tokens": 20, "auxiliary": 16, "control_records": 8}
    return Portfolio.model_validate(
        {"size": "quick", "version": 1, **sizes, "epochs": 1, "seeds": 1, "attacks": ["nearest_embedding"], **changes}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@dataclass
class Audited:
    result: AuditResult
    folder: Path
    seen: list[Progress]


@pytest.fixture(scope="module")
def bare(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Audited:
    """An audit of a run that hands out its embeddings, configured for a party of another name besides."""
    folder, seen = tmp_path_factory.mktemp("audit") / "bare", list[Progress]()
    config = run_config(model("llama"), **BARE, parties={"clinic": {"batch_size": 2}})
    return Audited(audit(config, NOTES, folder, small(), on_progress=seen.append), folder, seen)


def test_an_audit_reads_a_run_that_hands_out_its_embeddings(bare: Audited) -> None:
    (channel,) = bare.result.channels
    assert bare.result.valid
    assert (channel.channel, channel.attack) == (LeakChannel.HIDDEN, "nearest_embedding")
    assert channel.figures.tokens.value >= 0.99
    assert channel.null is not None
    assert channel.null.tokens.high < 0.99
    assert (bare.result.records, bare.result.auxiliary) == (16, 16)
    assert [(now.done, now.total) for now in (bare.seen[0], bare.seen[-1])] == [(0, 2), (2, 2)]


def test_beside_attacks_it_tells_what_lengths_leaks_and_the_adapter_tell(bare: Audited) -> None:
    result = bare.result
    assert result.shapes is not None
    assert (result.shapes.rows, result.shapes.exact) == (16, 1.0)
    assert {leak.leak for leak in result.leaks} == set(LEAKS)
    assert result.found_leaks == []
    assert result.planted is not None
    assert result.planted.passed
    assert result.membership is not None
    assert (result.membership.members, result.membership.others) == (16, 16)
    page = report_html(result, subject="a run")
    for told in (result.shapes.words, result.membership.words, result.planted.words, *LEAKS.values()):
        assert str(escape(told)) in page


def test_a_bare_output_head_is_found_to_tell_which_tokens_are_labels(model: Model, folder: Path) -> None:
    result = audit(run_config(model("llama"), split={"head_layers": 0, "tail_layers": 0}), NOTES, folder, small())
    (leak,) = result.found_leaks
    assert (leak.leak, result.valid) == ("zero_rows", True)
    assert leak.told in report_html(result, subject="a run")
    assert result.shapes is not None
    assert result.shapes.prompts == 1.0


def test_uploads_are_recorded_with_a_second_organisation_where_the_run_has_any(model: Model, folder: Path) -> None:
    attacks = ["nearest_embedding", "adapter_upload"]
    shallow = {"split": {"head_layers": 1, "tail_layers": 1}}
    result = audit(run_config(model("llama"), **shallow), NOTES, folder, small(attacks=attacks, upload_records=8))
    uploads = next(one for one in result.attacks if one.channel is LeakChannel.UPLOADS)
    assert uploads.figures is not None
    assert uploads.figures.records >= 2, "the first one tells nothing, and another one shows what luck would read"
    assert uploads.null is not None
    large = run_config(model("llama"), **shallow, training={"batch_size": 16})
    result = audit(large, NOTES, folder.with_name("large"), small(attacks=attacks, upload_records=8))
    uploads = next(one for one in result.attacks if one.channel is LeakChannel.UPLOADS)
    assert (uploads.outcome, "the same rows" in uploads.reason) == ("not_run", True), "where one has all rows"
    assert not [one for one in result.controls if one.channel is LeakChannel.UPLOADS], "none that can't be passed"
    frozen = run_config(model("llama"), **BARE)
    result = audit(frozen, NOTES, folder.with_name("frozen"), small(attacks=attacks))
    assert "no adapter" in next(one.reason for one in result.attacks if one.channel is LeakChannel.UPLOADS)
    assert LeakChannel.UPLOADS in result.unmeasured


def test_a_classifier_s_run_is_audited_without_the_attacks_that_look_for_predicted_tokens(
    model: Model, folder: Path
) -> None:
    attacks = ["nearest_embedding", "label_gradient", "completion"]
    config = sequence_config(model("llama"), **BARE)
    result = audit(config, labelled(48), folder, small(attacks=attacks))
    assert {one.channel for one in result.channels} == {LeakChannel.HIDDEN}
    assert [one.outcome for one in result.attacks] == ["ran", "not_run", "not_run"]
    assert result.membership is not None
    assert result.valid


def test_attacks_on_gradients_and_outputs_must_work_where_nothing_protects(model: Model, folder: Path) -> None:
    attacks = ["nearest_embedding", "label_gradient", "completion"]
    result = audit(run_config(model("llama"), **BARE), NOTES, folder, small(attacks=attacks))
    passed = {one.channel: one.found for one in result.controls if one.name == "no_defence" and one.passed}
    assert set(passed) == {LeakChannel.HIDDEN, LeakChannel.GRADIENT, LeakChannel.OUTPUT}
    assert min(passed.values()) >= 0.99


def test_attacks_that_cannot_read_unprotected_text_make_the_audit_invalid(model: Model, folder: Path) -> None:
    result = audit(run_config(model("llama"), **DEEP), NOTES, folder, small())
    assert not result.valid
    assert {control.name: control.passed for control in result.controls}["no_defence"] is False
    assert "failed its controls" in report_html(result, subject="a run")


def test_the_observer_s_folder_has_nothing_of_the_attacked_rows_but_frames(bare: Audited) -> None:
    for observer in (bare.folder / "run-observer", bare.folder / "control-observer"):
        request = json.loads((observer / "request.json").read_text())
        known = {tuple(ids) for ids in request["auxiliary"]}
        guessed = [json.loads(line) for line in (observer / "answers.jsonl").read_text().splitlines()]
        read = {tuple(ids) for answer in guessed for ids in answer["guesses"]}  # exact, by the test above
        assert read
        assert not read & known
        given = [file for file in observer.iterdir() if file.name != "answers.jsonl"]
        assert not [file for file in given if b"Qzl" in file.read_bytes()]
        assert not any(str(list(ids))[1:-1].encode() in file.read_bytes() for file in given for ids in read)


ALL = ["nearest_embedding", {"name": "nearest_embedding", "distance": "euclidean"}]


@pytest.mark.parametrize(("rows", "missing"), [(NOTES[:4], "4 different rows"), (NOTES[:3] * 9, "3 different rows")])
def test_too_few_rows_are_refused_before_anything_runs(
    model: Model, folder: Path, rows: list[dict[str, str]], missing: str
) -> None:
    with pytest.raises(AppError, match=missing) as caught:
        audit(run_config(model("llama"), **BARE), rows, folder, small())
    assert caught.value.code == "CL-1550"
    assert not folder.exists()


def test_the_observer_has_the_known_rows_and_none_of_them_counts(model: Model, folder: Path) -> None:
    needy = ["nearest_embedding", {"name": "learned_inverter", "kind": "linear"}, "known_plaintext"]
    chosen = small(auxiliary=0, known=6, control_records=2, attacks=needy)
    result = audit(run_config(model("llama"), **BARE), NOTES, folder, chosen)
    told = json.loads((folder / "run-observer" / "request.json").read_text())
    assert len(told["known"]) == result.known == 6
    assert json.loads((folder / "control-observer" / "request.json").read_text())["known"] == {}
    best, lacks, knows = result.attacks
    assert best.figures is not None
    assert (best.figures.records, best.figures.tokens.value) == (result.records, 1.0)
    assert (lacks.outcome, lacks.figures, "text of its own" in lacks.reason) == ("not_run", None, True)
    assert knows.outcome == "ran"


def test_the_attacker_finds_a_base_model_that_is_named_from_where_the_audit_was_started(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = model("llama")
    monkeypatch.chdir(base.parent)
    result = audit(run_config(Path(base.name), **BARE), NOTES, folder, small())
    assert result.valid


def test_an_attacker_that_dies_ends_the_audit_with_a_code(
    model: Model, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def kill(now: Progress) -> None:
        if "ran" in now.stage:  # it is alive, with one attack to go
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            for child in children:
                os.kill(int(child), signal.SIGKILL)

    with pytest.raises(AppError) as caught:
        audit(run_config(model("llama"), **BARE), NOTES, folder, small(attacks=ALL), on_progress=kill)
    assert caught.value.code == "CL-1551"
    assert caught.value.details["status"] == -signal.SIGKILL
    assert "the attacker ended" in caplog.text, "its own log goes with its folder"


def test_the_attacker_gets_none_of_the_party_s_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", "/models")
    for name in ("HF_TOKEN", "CUTLAYER_WORKER_HOME", "CUTLAYER_TOKEN"):
        monkeypatch.setenv(name, "secret")
    found = _plain_environment()
    assert found["HF_HOME"] == "/models"
    assert "secret" not in found.values()


def test_what_an_attack_failed_with_fits_a_result_and_names_no_folder() -> None:
    error = AppError("CL-1103", f"/home/ada/models/ward/config.json isn't there. {'x' * 500}")
    told = AttackResult(attack="x", channel=LeakChannel.HIDDEN, outcome="failed", reason=_words(error))
    assert "config.json" in told.reason
    assert "ada" not in told.reason


def test_an_attacker_ends_with_the_process_that_asked() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "from splitcore.audit.attacker import _end_with_the_asker as end; end()"],
        stdin=subprocess.PIPE,
    )
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(60) == 1


def test_the_committed_portfolios_can_be_read() -> None:
    quick, full = portfolio("quick"), portfolio("full")
    for one in (quick, full):
        channels = {attack.channel for attack in one.attacks}
        assert channels >= {LeakChannel.HIDDEN, LeakChannel.OUTPUT, LeakChannel.GRADIENT}
    assert (full.least_records, full.least_tokens, full.seeds) == (200, 5000, 3)


def test_a_report_has_the_figures_and_never_rounds_to_all_or_nothing(bare: Audited) -> None:
    page = report_html(bare.result, subject="<b>ward</b>")
    assert human_share(bare.result.channels[0].figures.tokens.value) in page
    assert "&lt;b&gt;ward" in page
    assert "Qzl" not in page
    assert [human_share(share) for share in (0.9996, 1.0, 0.0, 0.0001, 0.25)] == [
        "> 99.9 %", "100 %", "0 %", "< 0.1 %", "25.0 %",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "no noise whose law"),
        ({"privacy": {"defences": [{"name": "gaussian", "clip": 1.0, "noise": 0.01}]}}, "bounds nothing"),
        ({"privacy": {"defences": [{"name": "gaussian", "clip": 1.0, "noise": 50.0}]}}, "bits per token"),
    ],
    ids=["no-noise", "little", "much"],
)
def test_a_ceiling_is_told_where_the_noise_has_a_known_law(
    model: Model, changes: dict[str, Any], told: str, bare: Audited
) -> None:
    plan = plan_of(run_config(model("llama"), **BARE, **changes, lora={"train_head": False}))
    shared = share_out(plan, NOTES, small(), seed=0)
    ceiling = ceiling_of(plan, shared, blind=0.2, seed=0)
    page = report_html(bare.result.model_copy(update={"ceiling": ceiling}), subject="a run")
    assert told in page
    assert ("somebody with the rest of the text" in page) == bool(ceiling.telling)
    assert all(point.value >= point.kappa for point in ceiling.curve)
    assert ("neither the hidden states" in page) == bool(ceiling.at_null and ceiling.at_null.says_something)
    if ceiling.at_null:
        assert 0.2 <= ceiling.at_null.value <= 1.0


def test_who_guesses_blindly_is_measured_on_the_tokens_that_the_ceiling_counts(model: Model) -> None:
    """An attack that knows how every row ends has read much of other records, and nothing of their prompts."""
    plan = plan_of(run_config(model("llama"), **BARE))
    rows = [{"prompt": f"Qzl{i:02d}:", "completion": " ward 17"} for i in range(48)]
    shared = share_out(plan, rows, small(), seed=0)
    config = plan.settings.config
    encoded = encode_rows(shared.targets, read_tokenizer(plan.folder), config.data, config.training.max_length)
    truths = [Truth(torch.tensor(row.ids), torch.ones(len(row.ids)).bool(), n) for n, row in enumerate(encoded)]
    guesses = [torch.where(torch.tensor(row.labels) == IGNORED, 0, torch.tensor(row.ids)) for row in encoded]
    null = null_figures(guesses, truths, common=(), seed=0)
    assert null is not None
    assert null.tokens.value > 0.3
    result = AttackResult(attack="one", channel=LeakChannel.HIDDEN, outcome="ran")
    assert blind_of(plan, shared, Scored(result, guesses, truths), seed=0) == 0.0
    assert blind_of(plan, shared, None, seed=0) is None


def test_a_ceiling_counts_no_token_that_the_tokenizer_puts_into_every_row(model: Model) -> None:
    noise = {"defences": [{"name": "gaussian", "clip": 1.0, "noise": 50.0}]}
    plan = plan_of(run_config(model("llama"), **BARE, privacy=noise, lora={"train_head": False}))
    shared = share_out(plan, NOTES, small(), seed=0)
    (comma,) = read_tokenizer(plan.folder)(",").input_ids
    counted = [
        ceiling_of(plan, replace(shared, special=special), blind=None, seed=0).tokens
        for special in (frozenset(), frozenset({comma}))
    ]
    assert counted[0] - counted[1] == len(shared.targets), "each prompt has one"
