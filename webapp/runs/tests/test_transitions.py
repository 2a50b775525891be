"""The table of a run's life: complete, reachable, shown in the docs as it is, and the only thing that moves a run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from django.db import transaction
from django.utils import timezone

from docs import life as docs
from splitcore.errors import AppError
from webapp.jobs.models import Job
from webapp.runs.life import apply, effects
from webapp.runs.life.apply import run_apply
from webapp.runs.life.events import Event, Happening
from webapp.runs.life.rows import Ignored, Refused, Row
from webapp.runs.life.transitions import CLOCK, HUB, PEOPLE, TABLE, WORKERS
from webapp.runs.models import Participant, Run, RunState
from webapp.runs.tests import factories as make
from webapp.runs.timeline import error_info

WEBAPP = Path(__file__).resolve().parents[2]
LIFE = Path(apply.__file__).parent
EVERY = [(happening, state) for happening in Happening for state in RunState]


def rows() -> Iterator[tuple[Happening, RunState, Row]]:
    """Every row of every cell."""
    for happening, state in EVERY:
        cell = TABLE[happening][state]
        if isinstance(cell, tuple):
            for row in cell:
                yield happening, state, row


def event_of(happening: Happening, part: Participant) -> Event:
    """An event with all that any effect asks for."""
    return Event(happening, "A word.", participant=part, error=error_info("CL-1520"), phase="training")


def brought_to(w: make.World, state: RunState) -> Run:
    """The run in a state, as if it had come there; its parts hold checkpoints."""
    failure = {"code": "CL-1512", "message": "Held.", "resumes": True} if state == RunState.PAUSED else None
    ended = timezone.now() if state in (RunState.DONE, RunState.FAILED, RunState.STOPPED) else None
    Run.objects.filter(pk=w.run.pk).update(state=state, failure=failure, ended_at=ended, desired="running", step=3)
    w.run.participants.update(attempt=1)
    w.halves.update(outcome="", wanted_attempt=1)
    make.hold_checkpoints(w, 2)
    return w.fresh()


def stored(run: Run) -> tuple[object, ...]:
    """All that an event can change of a run and its parts."""
    run.refresh_from_db()
    own = Run.objects.filter(pk=run.pk).values().get()
    own.pop("updated_at")
    parts = run.participants.order_by("id").values_list("attempt", "phase", "address", "policy_verdict")
    jobs = Job.objects.filter(participant__run=run).order_by("id")
    halves = tuple(jobs.values_list("wanted_attempt", "outcome", "ended_at"))
    approvals = tuple(run.approvals.order_by("id").values_list("state"))
    return (own, tuple(parts), halves, approvals, run.records.count())


def test_every_event_has_a_cell_for_every_state() -> None:
    assert set(TABLE) == set(Happening)
    assert sum(len(lines) for lines in (PEOPLE, WORKERS, CLOCK, HUB)) == len(TABLE)
    for happening in Happening:
        assert set(TABLE[happening]) == set(RunState)


def test_the_last_row_of_a_cell_holds_always_and_no_other_one_does() -> None:
    for happening, state in EVERY:
        cell = TABLE[happening][state]
        if isinstance(cell, tuple):
            assert cell[-1].when is None, (happening, state)
            assert all(row.when is not None for row in cell[:-1]), (happening, state)


def test_every_state_is_reached_from_a_draft_and_done_is_the_only_end() -> None:
    moves: dict[RunState, set[RunState]] = {state: set() for state in RunState}
    for _, state, row in rows():
        if row.to is not None:
            moves[state].add(row.to)
    reached, ahead = set(), {RunState.DRAFT}
    while ahead:
        reached |= ahead
        ahead = {to for state in ahead for to in moves[state]} - reached
    assert reached == set(RunState)
    assert {state for state in RunState if not moves[state]} == {RunState.DONE}


@pytest.mark.django_db
@pytest.mark.parametrize("happening", list(Happening), ids=lambda happening: happening.value)
def test_each_cell_does_what_it_declares(happening: Happening, monkeypatch: pytest.MonkeyPatch) -> None:
    w = make.started()
    for state in RunState:
        run = brought_to(w, state)
        cell = TABLE[happening][state]
        before = stored(run)
        event = event_of(happening, w.part(0))
        if isinstance(cell, Refused):
            with pytest.raises(AppError) as caught:
                run_apply(run, event)
            assert caught.value.code == cell.code
            assert "{" not in caught.value.message
            assert stored(run) == before, state
        elif isinstance(cell, Ignored):
            assert run_apply(run, event) is None
            assert stored(run) == before, state
        else:
            for row in cell:
                _row_does(w, state, row, event, monkeypatch)


def _row_does(w: make.World, state: RunState, row: Row, event: Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken as if its condition held, the row moves the run where it says, with each of its effects once, in order."""
    ran: list[str] = []

    def noted(effect):
        def inner(run: Run, event: Event) -> None:
            ran.append(effect.__name__)
            effect(run, event)

        return inner

    spied = replace(row, when=None, before=tuple(map(noted, row.before)), after=tuple(map(noted, row.after)), then=None)
    run = brought_to(w, state)
    count = run.records.count()
    with monkeypatch.context() as patch, transaction.atomic():
        patch.setitem(TABLE[event.happening], state, (spied,))
        assert run_apply(run, event) == row.to
        assert ran == [effect.__name__ for effect in (*row.before, *row.after)]
        assert w.fresh().state == (row.to or state)
        entered = [record.payload["name"] for record in run.records.filter(seq__gt=count)]
        assert entered.count(f"run.{row.to}") == (1 if row.to else 0)
        transaction.set_rollback(True)
    w.fresh()


@pytest.mark.django_db
def test_what_makes_another_event_happen_ends_where_that_one_leads() -> None:
    w = make.world()
    make.submit(w)
    run = make.approve(w)
    assert run_apply(run, Event(Happening.STOPPED, "Enough.")) == RunState.STOPPING
    assert w.fresh().state == RunState.STOPPED  # no part was taken up, so all are gone


def test_every_event_is_raised_by_somebody_outside_the_table() -> None:
    text = "\n".join(path.read_text() for path in _sources() if path.parent != LIFE)
    assert [happening.name for happening in Happening if f"Happening.{happening.name}" not in text] == []


def test_every_effect_stands_in_the_table() -> None:
    used = {effect.__name__ for _, _, row in rows() for effect in (*row.demands, *row.before, *row.after)}
    tree = ast.parse(Path(effects.__file__).read_text())
    made = [node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    named = {node.name for node in made if [argument.arg for argument in node.args.args] == ["run", "event"]}
    words = {row.words.__name__ for _, _, row in rows()}
    assert named - used - words == set()


def _sources() -> list[Path]:
    found = [path for path in WEBAPP.rglob("*.py") if not {"tests", "migrations"} & set(path.parts)]
    assert len(found) > 100
    return found


def _writes(tree: ast.AST) -> Iterator[str]:
    """Assignments and updates that set a run's state, or the outcome or phase of a part."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            flat = [one for target in targets for one in (target.elts if isinstance(target, ast.Tuple) else [target])]
            for target in flat:
                if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                    of_run = target.attr in ("state", "desired") and target.value.id in ("run", "clone", "locked")
                    if of_run or target.attr in ("outcome", "phase", "wanted_attempt"):
                        yield ast.unparse(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            names = {keyword.arg for keyword in node.keywords}
            writes = node.func.attr in ("update", "create", "update_or_create", "bulk_create")
            if writes and names & {"outcome", "phase", "wanted_attempt", "desired"}:
                yield ast.unparse(node)
            states = [keyword for keyword in node.keywords if keyword.arg == "state"]
            if writes and any("RunState" in ast.unparse(keyword.value) for keyword in states):
                yield ast.unparse(node)


# The end of a job or an attempt, which moves nothing: import-linter keeps this app from runs altogether.
JOBS = WEBAPP / "jobs" / "services.py"
# What ends a half there, or wants it anew, is part of a run's life.
OF_HALVES = {"halves_gone", "halves_reopen", "halves_want", "job_interrupt"}


def test_nothing_but_the_table_moves_a_run_or_ends_a_part() -> None:
    found = {
        str(path.relative_to(WEBAPP)): list(_writes(ast.parse(path.read_text())))
        for path in _sources()
        if path.parent != LIFE and path != JOBS
    }
    assert {name: writes for name, writes in found.items() if writes} == {}


def test_nothing_but_the_table_wants_a_half_anew_or_calls_it_gone() -> None:
    users = {
        path.name
        for path in _sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and {alias.name for alias in node.names} & OF_HALVES
    }
    assert users == {"effects.py", "parts.py"}


def test_one_function_alone_sets_the_state_of_a_run() -> None:
    found = [
        (path.name, write)
        for path in LIFE.glob("*.py")
        for write in _writes(ast.parse(path.read_text()))
        if "state" in write.partition("=")[0]
    ]
    assert found == [("apply.py", "run.state, run.state_since = (to, now)")]


def test_the_docs_show_the_table_as_it_is() -> None:
    assert docs.PAGE.read_text(encoding="utf-8") == docs.page()
