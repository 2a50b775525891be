"""The curves of a run: exact while they are short, each bucket's lowest and highest point when they are long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import F
from django.db.models.functions import Mod

from webapp.runs.models import ParticipantRole, Run
from webapp.telemetry.models import Record
from webapp.telemetry.selectors import parties_of, seconds_since_start

Point = tuple[int, float, float | None]  # step, value, seconds since the run's start
SHOWN_POINTS = 2000
# Above this many records of a kind, the database is asked for every n-th step only; exports have them all.
READ_RECORDS = 15_000
METRICS = ("loss", "learning_rate", "grad_norm", "seconds", "compute_s", "send_s", "wait_s")

SMOOTHED_STEPS = 400  # with this smoothing, older ones change no digit that is shown
SMOOTHING = 0.9  # of the figures on a run's page, and what its chart starts with (static/js/series.js)


def smoothed(points: list[Point], beta: float = SMOOTHING) -> float | None:
    """The last of the exponential moving averages that the chart draws, without the bias of their start."""
    total, weight = 0.0, 1.0
    for _, value, _ in points:
        total, weight = beta * total + (1 - beta) * value, weight * beta
    return total / (1 - weight) if points else None


def latest_losses(run: Run) -> dict[str, float | None]:
    """Data party → its smoothed training loss, from as many of its newest steps as still weigh anything.

    Asked by the part alone, which is of one run: the index ends the reading after that many rows, however many other
    records the run has.
    """
    losses: dict[str, float | None] = {}
    for part in run.participants.filter(role=ParticipantRole.CLIENT):
        curves: dict[str, list[Point]] = {}
        newest = Record.objects.filter(participant=part, kind="metric").order_by("-seq")
        for step, payload in reversed(newest.values_list("step", "payload")[:SMOOTHED_STEPS]):
            if step is not None and payload.get("loss") is not None:
                _extend(curves, "loss", (step, float(payload["loss"]), None))
        losses[part.party] = smoothed(curves.get("loss", []))
    return losses


def downsample(points: list[Point], shown: int = SHOWN_POINTS) -> list[Point]:
    """At most about `shown` points: of each bucket the lowest and the highest, in order; first and last stay."""
    if len(points) <= shown:
        return points
    buckets = max(1, (shown - 2) // 2)
    inner = points[1:-1]
    kept = [points[0]]
    for bucket in range(buckets):
        part = inner[len(inner) * bucket // buckets : len(inner) * (bucket + 1) // buckets]
        if part:
            low = min(range(len(part)), key=lambda i: part[i][1])
            high = max(range(len(part)), key=lambda i: part[i][1])
            kept += [part[i] for i in sorted({low, high})]
    return [*kept, points[-1]]


def _values(payload: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for name in METRICS:
        if payload.get(name) is not None:
            yield name, float(payload[name])
    seconds = payload.get("seconds") or 0.0
    if seconds > 0:
        yield "tokens_per_second", float(payload.get("seen_tokens") or 0) / seconds


def _extend(curves: dict[str, list[Point]], name: str, point: Point) -> None:
    """Add a point. A step that was done before is done again by a newer attempt: it and what followed it make way."""
    points = curves.setdefault(name, [])
    while points and points[-1][0] >= point[0]:
        points.pop()
    points.append(point)


EVALUATED = {"loss": "eval_loss", "accuracy": "accuracy", "macro_f1": "macro_f1"}  # field of a record → its curve


def series_of(run: Run) -> dict[str, dict[str, list[Point]]]:
    """Party → name of the curve → points."""
    names = {key: part.party for key, part in parties_of(run).items()}
    curves: dict[str, dict[str, list[Point]]] = {party: {} for party in names.values()}
    moved = dict.fromkeys(curves, 0.0)
    records = Record.objects.filter(run=run, kind__in=["metric", "eval"], participant__isnull=False, step__isnull=False)
    count = records.count()
    stride = -(-count // READ_RECORDS)
    if stride > 1:
        records = records.annotate(place=Mod(F("step"), stride)).filter(place=0)
    for kind, participant_id, step, payload, at in records.order_by("seq").values_list(
        "kind", "participant_id", "step", "payload", "at"
    ):
        if step is None or participant_id is None:
            continue
        party = names[participant_id]
        moment = seconds_since_start(run, at)
        if kind == "eval":
            for name, curve in EVALUATED.items():
                if payload.get(name) is not None:
                    _extend(curves[party], curve, (step, float(payload[name]), moment))
            continue
        for name, value in _values(payload):
            _extend(curves[party], name, (step, value, moment))
        # With a stride the steps between are not read: their bytes are taken to be like this one's.
        moved[party] += stride * float((payload.get("bytes_up") or 0) + (payload.get("bytes_down") or 0))
        _extend(curves[party], "bytes", (step, moved[party], moment))
    return {party: {name: downsample(points) for name, points in named.items()} for party, named in curves.items()}
