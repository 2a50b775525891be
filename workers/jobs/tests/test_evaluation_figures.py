"""What leaves of an evaluation, and how many adapters a contract gives a party to measure."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from splitcore.config import RunConfig
from splitcore.models.tests.tiny import save_tokenizer
from workers.contracts import ContractDocument, ContractParticipant
from workers.data.rows import LEAST_MEASURED
from workers.jobs.folder import JobFolder, JobSpec
from workers.jobs.kinds.evaluate import measuring as evaluate
from workers.jobs.kinds.evaluate.measuring import Measured, measure_adapter, rounded
from workers.jobs.kinds.verify.bound import adapters_of
from workers.jobs.report import Reporter
from workers.jobs.setting import JobSetting
from workers.ledger.book import Book
from workers.ledger.frames import FrameLedger
from workers.outbox.measurements import Measurements
from workers.outbox.spool import Spool
from workers.policy import SitePolicy
from workers.settings import WorkerConfig
from workers.tests.support import assignment_for, contract_for, enrolled_home


def setting(tmp_path: Path, *, role: str = "client", clients: int = 1, mode: str = "parallel") -> JobSetting:
    home = enrolled_home(tmp_path / "home")
    contract = copy.deepcopy(contract_for(home))
    own = contract["participants"][0]
    own["role"] = role
    contract["participants"] += [
        own | {"party": f"c{n}", "worker_id": f"w{n}", "role": "client"} for n in range(clients)
    ]
    contract["config"]["schedule"] = {"mode": mode}
    assignment = assignment_for(contract, role=role)
    spec = JobSpec(job_id="prt_1-evaluate", home=str(home.root), attempt=1, assignment=assignment)
    spool = Spool(home.spool_file)
    return JobSetting(
        home,
        WorkerConfig.load(home),
        JobFolder.of(home, "run_1", "prt_1-evaluate"),
        spec,
        ContractDocument.model_validate(contract),
        RunConfig.parse(contract["config"]),
        ContractParticipant.model_validate(own),
        Reporter(spool, spec),
        spool,
        FrameLedger(Book(home.ledger_file), run_id="run_1", job_id=spec.job_id, attempt=1, budget=None, full=False),
    )


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"role": "client"}, 1),
        ({"role": "client", "mode": "personalised"}, 1),
        ({"role": "evaluator", "clients": 3}, 1),
        ({"role": "evaluator", "clients": 3, "mode": "personalised"}, 3),
        ({"role": "server", "clients": 3}, 1),
        ({"role": "server", "clients": 3, "mode": "personalised"}, 3),
    ],
    ids=str,
)
def test_a_party_checks_the_contract_s_adapters(tmp_path: Path, options: dict[str, Any], count: int) -> None:
    assert adapters_of(setting(tmp_path, **options)) == count


def test_places_for_adapters_are_kept_on_disk(tmp_path: Path) -> None:
    def take(adapter: str) -> bool:
        measured = Measurements(tmp_path / "spool.sqlite3")  # as after a restart
        return measured.may_measure(contract_hash="h", party="p", adapter_sha256=adapter, limit=2)

    assert [take(adapter) for adapter in ("a", "b", "a", "c", "b")] == [True, True, True, False, True]


def test_figures_leave_with_four_significant_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = iter([Measured(2.3456789123, 0.123456789, 100), Measured(12.3456789123, 1.0, 100)])
    monkeypatch.setattr(evaluate, "held_out_rows", lambda setting: [{"prompt": "a", "completion": "b"}] * 8)
    monkeypatch.setattr(evaluate, "measure", lambda *arguments: next(figures))
    monkeypatch.setattr(evaluate, "rows_with_target", lambda rows, *arguments: rows)
    for name in ("load_whole", "read_tokenizer", "read_lora"):
        monkeypatch.setattr(evaluate, name, lambda *arguments, **options: None)
    monkeypatch.setattr(evaluate.PeftModel, "from_pretrained", lambda *arguments, **options: None)
    result, checks = measure_adapter(setting(tmp_path), tmp_path, tmp_path)
    assert result is not None
    assert (result.base_loss, result.base_exact_match, result.loss) == (2.346, 0.1235, 12.35)
    assert all("12.3456" not in check.detail for check in checks)
    assert rounded(0.000123456) == 0.0001235


ROWS = [{"prompt": f"p{number}", "completion": "c"} for number in range(40)]


def refuses(made: JobSetting, rows: list[dict[str, str]], *, contract: str = "c", adapter: str = "a") -> bool:
    update = {"adapter_sha256": adapter * 64, "contract_hash": contract * 64}
    asked = made.spec.model_copy(update={"assignment": made.spec.assignment.model_copy(update=update)})
    return bool(evaluate._tells_of_single_rows(replace(made, spec=asked), rows))


def test_a_dataset_bears_so_many_figures_in_a_day_whatever_the_contracts(tmp_path: Path) -> None:
    made = setting(tmp_path)
    made.home.policy_file.write_text(SitePolicy(evaluations_per_day=2).to_yaml())
    assert not refuses(made, ROWS, contract="1")
    assert not refuses(made, ROWS, contract="2"), "the same adapter under another contract counts"
    assert not refuses(made, ROWS, contract="1"), "the same check may be made again"
    assert refuses(made, ROWS, contract="3")


def test_rows_that_differ_by_a_few_from_measured_ones_are_not_measured(tmp_path: Path) -> None:
    made = setting(tmp_path)
    assert not refuses(made, ROWS[:20], contract="1")
    for near in (ROWS[:21], ROWS[1:20], ROWS[1:21], ROWS[: 20 + LEAST_MEASURED - 1]):
        assert refuses(made, near, contract="2")
    assert not refuses(made, ROWS[: 20 + LEAST_MEASURED], contract="2")


def test_a_few_held_out_rows_are_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "held_out_rows", lambda _: ROWS[: LEAST_MEASURED - 1])
    save_tokenizer(tmp_path)
    result, [check] = measure_adapter(setting(tmp_path), tmp_path, tmp_path)
    assert result is None
    assert check.code == "CL-1435"


def test_rows_that_the_contract_s_length_leaves_without_a_target_are_not_counted_as_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A length that leaves one row would otherwise give that row's own figures."""
    long = [{"prompt": "word " * 600, "completion": "c"}] * LEAST_MEASURED
    monkeypatch.setattr(evaluate, "held_out_rows", lambda _: [ROWS[0], *long])
    save_tokenizer(tmp_path)
    result, [check] = measure_adapter(setting(tmp_path), tmp_path, tmp_path)
    assert result is None
    assert check.code == "CL-1435"
    assert check.detail.startswith(f"Fewer than {LEAST_MEASURED} held-out rows"), "how many would tell of their lengths"
