"""The job `audit` at a data worker: what it refuses, what it reports, and that nothing of it stays."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from splitcore.audit.observer import _plain_environment
from splitcore.errors import AppError
from splitcore.models.tests.tiny import save_model
from workers.contracts import AUDIT_SINCE, Assignment, AuditEnd
from workers.data.store import DatasetStore
from workers.errors import error_info
from workers.jobs.folder import JobResult, job_id_of
from workers.jobs.kinds.audit.measuring import PER_DAY, own_seed
from workers.jobs.kinds.registry import KINDS, is_beside
from workers.jobs.run import _set_threads
from workers.jobs.supervise import supervise
from workers.jobs.tests.door import Door
from workers.models_registry import ModelRegistry
from workers.outbox.measurements import Measurements
from workers.outbox.spool import Spool
from workers.policy import SitePolicy
from workers.tests.support import assignment_for, contract_for, enrolled_home, equip
from workers.versions import message_form

ROWS = [{"prompt": f"Qzl{i:02d}, day {i * 7 % 31}:", "completion": f" ward {i * 5 % 17}"} for i in range(40)]
PLACE = {"kind": "audit", "kind_since": AUDIT_SINCE, "attempt": 1, "subject": "first"}


@pytest.fixture
def door(tmp_path: Path) -> Door:
    home = enrolled_home(tmp_path / "home")
    equip(home, model_folder=tmp_path)
    ModelRegistry(home).add(save_model(tmp_path / "model", "llama"), model_id="acme/tiny", revision="r1")
    return Door(home, Spool(home.spool_file))


def asked(door: Door, tmp_path: Path, rows: list[dict[str, str]], **spec: Any) -> Assignment:
    """An audit of a run on these rows, which this site stores."""
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = DatasetStore(door.home.root)
    staged = store.stage(file, eval_fraction=0.0)
    digest = store.confirm(staged.staged_id, store.propose(staged.staged_id, "wards")).metadata.digest
    contract = copy.deepcopy(contract_for(door.home))
    contract["config"]["model"]["manifest"] = ModelRegistry(door.home).all()[-1].manifest_hash
    contract["config"]["split"] = {"topology": "u_shape", "head_layers": 1, "tail_layers": 2}
    contract["config"]["training"] |= {"max_length": 32}
    contract["participants"][0] |= {"dataset": "wards", "dataset_digest": digest}
    return assignment_for(contract, **PLACE, spec={"size": "quick", "seed": 3, **spec})


def end_of(door: Door, audit: Assignment) -> AuditEnd:
    """Do the job to its end, in processes of its own."""
    folder = door.open(audit)
    folder.write_assignment(audit)
    supervise(door.home, "run_1", job_id_of(audit))
    assert not folder.out.exists()
    [item] = [item for item in door.spool.outbox() if item.kind == "exit"]
    assert "Qzl" not in item.body
    return AuditEnd.model_validate_json(item.body)


def test_it_reports_figures_and_leaves_no_frame_behind(door: Door, tmp_path: Path) -> None:
    audit = asked(door, tmp_path, ROWS)
    (door.folder(audit).out / "audit" / "control-observer").mkdir(parents=True)  # of an attempt that was broken off
    told = end_of(door, audit)
    assert (told.outcome, told.kind, told.subject, told.error) == ("done", "audit", "first", None)
    assert told.audit is not None
    assert (told.audit.size, told.audit.records) == ("quick", 20)
    assert [channel.figures.records for channel in told.audit.channels]
    assert not door.spool.pending(), "the half that trains meanwhile has the party's records for itself"


def test_one_that_is_broken_off_leaves_no_frame_until_it_is_done_again(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = asked(door, tmp_path, ROWS)
    folder = door.open(audit)
    folder.write_assignment(audit)
    (folder.out / "audit").mkdir()
    broken = JobResult(outcome="failed", error=error_info("CL-1523"))
    monkeypatch.setattr("workers.jobs.supervise._run", lambda *_: broken)
    supervise(door.home, "run_1", job_id_of(audit))
    assert door.spool.jobs(state="rung")
    assert not folder.out.exists()


def test_a_hub_can_t_have_a_dataset_audited_without_end(door: Door, tmp_path: Path) -> None:
    audit = asked(door, tmp_path, ROWS)
    taken = Measurements(door.home.spool_file)
    digest = json.loads(audit.contract)["participants"][0]["dataset_digest"]
    for number in range(PER_DAY):
        for _again in range(2):
            assert taken.may_audit(dataset=digest, job_id=f"prt_{number}-audit", limit=PER_DAY)
    assert taken.may_audit(dataset="another", job_id="prt_1-audit", limit=PER_DAY)
    told = end_of(door, audit)
    assert told.error is not None
    assert (told.outcome, told.error.code) == ("failed", "CL-1556")


def test_which_rows_a_seed_draws_is_known_at_the_site_alone() -> None:
    mine, theirs = ([own_seed(asked, "ab", key) for asked in range(8)] for key in (b"m" * 32, b"t" * 32))
    assert mine == [own_seed(asked, "ab", b"m" * 32) for asked in range(8)]
    assert len({*mine, *theirs}) == 16


def test_another_contract_draws_other_rows_for_the_same_seed() -> None:
    assert len({own_seed(3, contract_hash, b"m" * 32) for contract_hash in ("ab", "cd", "ef")}) == 3


def test_a_hub_that_reads_no_such_figures_is_told_to_be_upgraded(door: Door, tmp_path: Path) -> None:
    told = end_of(door, asked(door, tmp_path, ROWS).model_copy(update={"kind_since": AUDIT_SINCE - 1}))
    assert told.error is not None
    assert (told.outcome, told.error.code, told.audit) == ("failed", "CL-1407", None)
    assert "Upgrade Cutlayer on the hub" in told.error.remedy
    assert "audit" not in message_form(told, AUDIT_SINCE - 1), "it refuses a field that it doesn't know"


def test_too_few_rows_are_told_with_their_code(door: Door, tmp_path: Path) -> None:
    told = end_of(door, asked(door, tmp_path, ROWS[:6]))
    assert (told.outcome, told.audit) == ("failed", None)
    assert told.error is not None
    assert told.error.code == "CL-1550"
    assert not door.spool.pending(), "it would read as the end of the half that trains"
    assert not any(letter.isdigit() for letter in told.error.message), "row lengths"


def test_the_attacker_computes_with_no_more_threads_than_the_site_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    before = torch.get_num_threads()
    _set_threads(1)
    torch.set_num_threads(before)
    assert _plain_environment()["OMP_NUM_THREADS"] == "1"


def test_it_runs_beside_training() -> None:
    assert is_beside("audit")


@pytest.mark.parametrize(
    ("policy", "changes", "code"),
    [
        ({"audits": "forbid"}, {}, "CL-1553"),
        ({}, {"role": "server"}, "CL-1425"),
        ({}, {"spec": {"size": "huge"}}, "CL-1425"),
        ({}, {"spec": {"size": "quick", "rows": 9}}, "CL-1425"),
    ],
    ids=["forbidden", "no-rows", "size", "more"],
)
def test_what_it_is_not_to_be_asked_for(door: Door, policy: dict[str, Any], changes: dict[str, Any], code: str) -> None:
    audit = assignment_for(contract_for(door.home), **PLACE, **{"spec": {"size": "quick"}, **changes})
    with pytest.raises(AppError) as caught:
        KINDS["audit"].rule(audit, SitePolicy(**policy))
    assert caught.value.code == code
