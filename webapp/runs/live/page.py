"""Everything on a run's live page, put together for one reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webapp.accounts.models import User
from webapp.runs.live.entries import Entry, entries_of, newest
from webapp.runs.live.eta import Progress, progress_of
from webapp.runs.live.status import Status, status_of
from webapp.runs.models import ParticipantRole, Run
from webapp.telemetry.selectors import base_answers, samples_of
from webapp.telemetry.series import latest_losses
from webapp.telemetry.snapshot import newest_of

SHOWN_ENTRIES = 80


@dataclass(frozen=True)
class Tiles:
    """The figures at the top; None where there is none yet."""

    loss: float | None
    loss_first: float | None
    evaluation: float | None
    tokens_per_second: float | None
    uplink: int
    downlink: int
    accuracy: float | None = None
    macro_f1: float | None = None


@dataclass(frozen=True)
class Sample:
    """What base and tuned model wrote to one public prompt at one step."""

    step: int
    rows: list[dict[str, str]]


@dataclass(frozen=True)
class LivePage:
    """The live part of a run's page."""

    run: Run
    status: Status
    progress: Progress
    tiles: Tiles
    lanes: list[dict[str, Any]]
    entries: list[Entry]
    more_entries: int
    samples: list[Sample]
    has_more_samples: bool  # older ones, which the page does not show
    seq: int


def live_page(*, user: User, run: Run) -> LivePage:
    """The page as it stands now."""
    shot = newest_of(user=user, run=run)
    parts = list(run.participants.select_related("organisation", "worker"))
    entries = entries_of(shot["events"])
    losses = latest_losses(run)
    lanes = [_lane(lane, losses.get(lane["party"])) for lane in shot["lanes"]]
    shown = newest(entries, SHOWN_ENTRIES)
    samples = _samples(shot["samples"], base_answers(run))
    return LivePage(
        run=run,
        status=status_of(run, parts),
        progress=progress_of(run, parts),
        tiles=_tiles(run, lanes),
        lanes=lanes,
        entries=shown,
        more_entries=len(entries) - len(shown),
        samples=samples,
        has_more_samples=bool(samples) and samples_of(run).filter(step__lt=samples[-1].step).exists(),
        seq=shot["seq"],
    )


def _tiles(run: Run, lanes: list[dict[str, Any]]) -> Tiles:
    training = [lane for lane in lanes if lane["role"] == ParticipantRole.CLIENT]
    clients = [lane["metrics"] for lane in training]
    losses = [lane["loss"] for lane in training if lane["loss"] is not None]
    moved = run.summary.get("bytes") or {}
    return Tiles(
        loss=sum(losses) / len(losses) if losses else None,
        loss_first=run.summary.get("loss_before"),
        evaluation=run.summary.get("loss_after"),
        tokens_per_second=sum(float(m.get("tokens_per_s") or 0.0) for m in clients) or None,
        uplink=int(moved.get("uplink") or 0),
        downlink=int(moved.get("downlink") or 0),
        accuracy=run.summary.get("accuracy_after"),
        macro_f1=run.summary.get("macro_f1_after"),
    )


def _lane(lane: dict[str, Any], loss: float | None) -> dict[str, Any]:
    """A lane with the parts of its step time and the loss that the chart's bold line ends in."""
    metrics = lane["metrics"]
    parts = [(name, metrics.get(f"{name}_s") or 0.0) for name in ("compute", "send", "wait")]
    return {**lane, "loss": loss, "parts": parts if any(value for _, value in parts) else []}


def _samples(records: list[dict[str, Any]], known: Mapping[str, str]) -> list[Sample]:
    """Newest first; one entry a step, of which the newest attempt's answers stand.

    A half that was started again does not have the base model's answers: they are `known` from its first attempt.
    """
    found: dict[int, list[dict[str, str]]] = {}
    for record in records:
        payload = record["payload"]
        base, tuned = payload.get("base") or [], payload.get("tuned") or []
        found[record["step"] or 0] = [
            {
                "prompt": prompt,
                "base": base[place] if place < len(base) else known.get(prompt, ""),
                "tuned": tuned[place] if place < len(tuned) else "",
            }
            for place, prompt in enumerate(payload["prompts"])
        ]
    return [Sample(step, rows) for step, rows in sorted(found.items(), reverse=True)]
