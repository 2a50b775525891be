"""What records and beats change in a run's rows: step, phase, latest metrics, and the summary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from django.utils import timezone

from webapp.core.transactions import service
from webapp.fleet.models import Worker
from webapp.jobs.services import job_progress
from webapp.runs.kinds.registry import job_begun
from webapp.runs.life.apply import run_apply
from webapp.runs.life.events import Event, Happening
from webapp.runs.life.failing import is_in_evaluation, is_source, source_agrees
from webapp.runs.life.parts import part_return, phase_set
from webapp.runs.locking import run_lock
from webapp.runs.models import Participant, ParticipantRole, Run
from webapp.runs.states import ENDED, LIVE
from webapp.runs.timeline import run_announce, timeline_event
from workers.contracts import HubEvent, Phase, WorkerEvent

_SMOOTHING = 0.9  # of the running means of loss and step time
_OVER = frozenset({Phase.DONE, Phase.FAILED, Phase.STOPPED})
_LANE_FIELDS = ["metrics", "step", "phase", "phase_since", "last_beat_at", "updated_at"]


class Observed(Protocol):
    """The part of a telemetry record that matters here."""

    kind: str
    step: int | None
    payload: dict[str, Any]


def records_observed(*, participant: Participant, records: Iterable[Observed]) -> None:
    """Take a batch of new records, in order, with one write of each row. The caller holds the transaction.

    The figures of a run that has ended stand, whatever arrives late.
    """
    run = participant.run
    ended, moved = run.state in ENDED, False
    checkpoint: int | None = None  # the newest that the batch tells of
    phases: set[Phase] = set()
    for record in records:
        if record.kind == "metric" and not ended:
            moved = _metric(run, participant, record) or moved
        elif record.kind == "eval" and not ended:
            _evaluation(run, participant, record)
        elif record.kind == "event":
            checkpoint = record.step or 0 if _is_of_checkpoint(record) else checkpoint
            source_agrees(run, participant, record.payload, step=record.step)
            if not ended:
                _skipped(run, participant, record)
        elif record.kind == "phase":
            phases |= _phase(participant, Phase(record.payload["phase"]))
    job_begun(participant, phases)
    if checkpoint is not None and participant.train is not None:
        job_progress(participant.train, number=participant.attempt, checkpoint_step=checkpoint)
    participant.last_beat_at = timezone.now()
    participant.save(update_fields=_LANE_FIELDS)
    run.save(update_fields=["step", "summary", "updated_at"])
    if moved:
        run_apply(run, Event(Happening.STEP_DONE, participant=participant))


def _phase(participant: Participant, phase: Phase) -> set[Phase]:
    """Take up what a part says that it does; returns what was taken up.

    That it is silent is the hub's own verdict, which fails a run in time.
    """
    if phase == Phase.DROPPED:
        return set()
    told_after_exit = (Phase.VERIFYING, Phase.EVALUATING, *([Phase.DONE] if participant.outcome == "done" else []))
    if participant.outcome and phase not in told_after_exit:
        return set()
    phase_set(participant, phase)
    return {phase}


def _is_of_checkpoint(record: Observed) -> bool:
    """Whether an event tells which checkpoint the attempt has, for what can be said of a recovery."""
    return record.payload.get("name") in (WorkerEvent.CHECKPOINT_SAVED, WorkerEvent.CHECKPOINT_RESUMED)


def _skipped(run: Run, participant: Participant, record: Observed) -> None:
    """Count the steps that were applied nowhere because of a NaN or infinite value; each half tells of each of them.

    Whose value it was is shown by the word of that half alone.
    """
    payload = record.payload
    if payload.get("name") != WorkerEvent.VALUES_NOT_FINITE or is_in_evaluation(payload) or record.step is None:
        return
    known = run.summary.get("skipped") or {"steps": 0, "step": 0}
    party = participant.party if is_source(participant, payload) else ""
    if record.step > known["step"]:
        known = {"steps": known["steps"] + 1, "step": record.step, "party": party}
    elif record.step == known["step"] and party:
        known = {**known, "party": party}
    run.summary = {**run.summary, "skipped": known}


def _smooth(old: Any, new: float) -> float:
    return new if old is None else _SMOOTHING * float(old) + (1 - _SMOOTHING) * new


def _metric(run: Run, participant: Participant, record: Observed) -> bool:
    """Lane and totals of one step; clients count the bytes, since each byte has a client at one end.

    Says whether it moves the run: an evaluator's word, or that of a part which nobody has taken up, does not.
    """
    payload, lane = record.payload, dict(participant.metrics)
    seconds = float(payload.get("seconds") or 0.0)
    for name in ("loss", "learning_rate", "grad_norm"):
        if payload.get(name) is not None:
            lane[name] = payload[name]
    for name in ("seconds", "compute_s", "send_s", "wait_s"):
        lane[name] = _smooth(lane.get(name), float(payload.get(name) or 0.0))
    if seconds > 0:
        lane["tokens_per_s"] = _smooth(lane.get("tokens_per_s"), int(payload.get("seen_tokens") or 0) / seconds)
    for name in ("bytes_up", "bytes_down", "tokens", "seen_tokens"):
        lane[name] = int(lane.get(name) or 0) + int(payload.get(name) or 0)
    participant.metrics = lane
    trains = participant.role != ParticipantRole.EVALUATOR and participant.attempt > 0
    if record.step is not None:
        participant.step = max(participant.step, record.step)
        run.step = max(run.step, record.step) if trains else run.step
    if participant.role == ParticipantRole.CLIENT:
        summary = dict(run.summary)
        moved = dict(summary.get("bytes") or {"uplink": 0, "downlink": 0})
        moved["uplink"] += int(payload.get("bytes_up") or 0)
        moved["downlink"] += int(payload.get("bytes_down") or 0)
        run.summary = {
            **summary,
            "bytes": moved,
            "tokens": int(summary.get("tokens") or 0) + int(payload.get("tokens") or 0),
        }
    return trains


SCORES = ("accuracy", "macro_f1")  # of a task with labels, whose `tokens` are its rows


def _evaluation(run: Run, participant: Participant, record: Observed) -> None:
    """First and last evaluation of each party with rows; the run's loss is their mean, weighted by tokens.

    A loss that is not available is null, and so is a mean that it belongs to. Scores that are not available are absent:
    those of an earlier evaluation don't stand beside a later loss.
    """
    most = _most_tokens(run, participant)
    if most is None:
        return
    payload = record.payload
    entry = {
        "step": record.step or 0,
        "loss": payload["loss"],
        "tokens": min(payload["tokens"], most),
        **{name: payload[name] for name in SCORES if payload.get(name) is not None},
    }
    evals = dict(run.summary.get("evals") or {})
    mine = dict(evals.get(participant.party) or {"first": entry})
    mine["last"] = entry
    evals[participant.party] = mine
    participant.metrics = {**participant.metrics, "eval_loss": entry["loss"], "eval_step": entry["step"]}
    means = {
        f"{name}_{when}": _weighted([e[part] for e in evals.values()], name)
        for name in ("loss", *SCORES)
        for when, part in (("before", "first"), ("after", "last"))
    }
    scored = {f"{name}_{when}" for name in SCORES for when in ("before", "after")}
    run.summary = {
        **{name: value for name, value in run.summary.items() if name not in scored},
        "evals": evals,
        **{name: value for name, value in means.items() if name not in scored or value is not None},
    }


def _most_tokens(run: Run, participant: Participant) -> int | None:
    """The target tokens that a party's registered rows can have, at most; None for a party without rows."""
    version = participant.dataset_version
    if version is None:
        return None
    longest = int((run.config.get("training") or {}).get("max_length") or 0)
    return int(version.metadata.get("rows") or 0) * longest


def _weighted(entries: list[dict[str, Any]], name: str = "loss") -> float | None:
    """The mean of a figure, weighted by target tokens; None where a party's is not available."""
    tokens = sum(int(entry["tokens"]) for entry in entries)
    if any(entry.get(name) is None for entry in entries):
        return None
    return sum(float(entry[name]) * int(entry["tokens"]) for entry in entries) / tokens if tokens else None


def participant_beat(*, worker: Worker, lanes: list[dict[str, Any]]) -> None:
    """A worker is alive: note it for each live part, and take up what it says of each lane's phase and step."""
    told = {str(lane.get("participant_id")): lane for lane in lanes if isinstance(lane, dict)}
    live = Participant.objects.filter(worker=worker, run__state__in=LIVE)
    for run_id in live.order_by("run_id").values_list("run_id", flat=True).distinct():
        _beat_in_run(worker, run_id, told)


@service
def _beat_in_run(worker: Worker, run_id: str, told: dict[str, dict[str, Any]]) -> None:
    """One run's parts of the worker, read under the run's lock: an exit that came first is not written over."""
    run = run_lock(run_id)
    if run.state not in LIVE:
        return
    for row in run.participants.filter(worker=worker).select_related("organisation", "worker"):
        row.run = run
        was_dropped = row.phase == Phase.DROPPED
        row.last_beat_at = timezone.now()
        lane = told.get(row.id)
        if lane is not None and lane.get("attempt") == row.attempt:
            _lane(row, lane)
        if row.phase == Phase.DROPPED:
            part_return(row)
        row.save(update_fields=["last_beat_at", "phase", "phase_since", "step", "updated_at"])
        if was_dropped:
            timeline_event(run, HubEvent.PARTICIPANT_RETURNED, f"{worker.name} is back.", participant=row)
            run_announce(run)


def _lane(row: Participant, lane: dict[str, Any]) -> None:
    if not row.outcome and lane.get("phase") in set(Phase) - {Phase.DROPPED} - _OVER:
        phase_set(row, Phase(lane["phase"]))
    step = lane.get("step")
    if isinstance(step, int) and row.step < step <= (row.run.total_steps or step):
        row.step = step
