"""The hub of a live run is migrated, and later restored from a backup: nothing hangs, nothing is missing."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from demo.launch.groups import REPO, WORKERS
from demo.launch.runs import approve_by_all, launch
from processes.children import end_child
from tests.integration.drills import event_of, reach, reach_step, records_of, run_of
from tests.stack import Stack, wait_for
from workers.outbox.sender import NOTE

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
STEPS = 160
TRAINING = {
    "steps": STEPS, "batch_size": 4, "micro_batches": 1, "warmup": 0, "eval_every": 0, "checkpoint_every": 10,
}  # fmt: skip
AFTER_BACKUP = 50  # records that the hub loses


def manage(stack: Stack, *arguments: str) -> str:
    """One of the hub's commands, as its operator runs it."""
    command = [sys.executable, "manage.py", *arguments]
    environment = stack.groups.hub_environment()
    done = subprocess.run(command, env=environment, cwd=REPO, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stop_hub(stack: Stack) -> None:
    """End the hub in order; its workers go on."""
    end_child(stack.groups.children.pop("hub"), grace=15)


def trained(records: list[dict[str, Any]]) -> Counter[int]:
    """How often the data party told of each step."""
    [party] = {one["party"] for one in records if one["kind"] == "metric" and one["payload"]["loss"] is not None}
    return Counter(one["step"] for one in records if one["kind"] == "metric" and one["party"] == party)


def ask(stack: Stack, query: str, *values: str) -> list[tuple[Any, ...]]:
    """Rows of the hub's database."""
    with closing(sqlite3.connect(stack.groups.root / "hub" / "hub.sqlite3")) as database:
        return database.execute(query, values).fetchall()


def numbers_of(stack: Stack, run: str) -> dict[str, list[int]]:
    """Each worker's own numbers of its records, as the hub has them, by participant."""
    query = "SELECT participant_id, worker_seq FROM telemetry_record WHERE run_id = ? AND worker_seq IS NOT NULL"
    found: dict[str, list[int]] = {}
    for participant, number in ask(stack, f"{query} ORDER BY worker_seq", run):
        found.setdefault(participant, []).append(number)
    return found


def disputes_of(stack: Stack) -> list[str]:
    """What the run's workers have told of the audit chain."""
    rows = ask(
        stack, "SELECT action, object_id FROM audit_auditentry WHERE action LIKE 'worker.chain_%' ORDER BY sequence"
    )
    return [str(action) for action, worker in rows if worker in {stack.stage.workers[key] for key in WORKERS}]


@pytest.fixture(scope="module")
def run(stack: Stack) -> Iterator[str]:
    """A run in training; afterwards the hub has its own settings again."""
    made = launch(stack.stage, name="Drill: migrate, restore", trains=("clinic",), training=TRAINING, evaluate=False)
    approve_by_all(stack.stage, made)
    reach_step(stack.stage, made, 5)
    yield made
    stop_hub(stack)
    stack.groups.hub_options.pop("DJANGO_SETTINGS_MODULE", None)
    stack.groups.start_hub()


def test_a_migration_in_the_middle_of_a_run_costs_it_nothing(stack: Stack, run: str) -> None:
    stop_hub(stack)
    stack.groups.hub_options["DJANGO_SETTINGS_MODULE"] = "tests.integration.further.settings"
    assert "further.0001_initial" in manage(stack, "migrate", "--no-color")
    stack.groups.start_hub()
    step = run_of(stack.stage, run)["step"]
    now = reach_step(stack.stage, run, step + 10)

    assert {part["attempt"] for part in now["participants"]} == {1}
    steps = trained(records_of(stack.stage, run))
    assert steps == dict.fromkeys(range(1, max(steps) + 1), 1)
    names = {one["payload"].get("name") for one in records_of(stack.stage, run) if one["kind"] == "event"}
    assert not names & {"run.recovering", "participant.dropped"}


def test_a_run_ends_with_every_record_after_the_hub_went_back_fifty_records(
    stack: Stack, run: str, tmp_path: Path
) -> None:
    backup = tmp_path / "drill.backup"
    manage(stack, "backup", str(backup))
    saved = len(records_of(stack.stage, run))
    wait_for(
        lambda: len(records_of(stack.stage, run)) >= saved + AFTER_BACKUP, what="records after the backup", seconds=120
    )
    assert run_of(stack.stage, run)["state"] == "training"

    stop_hub(stack)
    manage(stack, "restore", str(backup), "--replace")
    stack.groups.start_hub()
    done = reach(stack.stage, run, "done", seconds=300)

    records = records_of(stack.stage, run)
    assert set(trained(records)) == set(range(1, STEPS + 1))
    assert event_of(records, "run.recovering")
    assert min(part["attempt"] for part in done["participants"]) > 100
    for part, numbers in numbers_of(stack, run).items():
        assert numbers == list(range(1, len(numbers) + 1)), f"{part} told everything once"
    assert not [one for one in records if one["kind"] == "log" and one["payload"]["message"].startswith(NOTE)]

    assert disputes_of(stack) == ["worker.chain_disputed"] * 3
    for key in WORKERS:
        assert '"restored"' in (stack.groups.home(key) / "witness_finding.json").read_text()
        assert "Accepted" in stack.groups.command(key, "worker", "witness", "--accept")
    wait_for(lambda: disputes_of(stack).count("worker.chain_accepted") == 3, what="every worker's acceptance")
