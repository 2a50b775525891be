"""The book in plain words, run by run: what left, to whom, how much, and what could not be counted to its end."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from workers.ledger.book import HUB, Book, Line, Writer
from workers.ledger.frames import TELL_SECONDS

WORDS = {
    "telemetry": "Records: metrics, phases, events, sample answers",
    "exit": "Job results",
    "claim": "Job claims",
    "verdict": "Decisions on contracts",
    "ready": "Address of the tensor port",
    "verified": "Checks and evaluations of an adapter",
    "segments": "Trained adapter segments",
    "tokenizer": "Tokenizer files of the base model",
    "assignments": "Work requests",
    "datasets": "Dataset metadata",
    "models": "Base model registrations",
    "enrol": "Enrolment",
    "rotate": "New keys",
    "leave": "End of an enrolment",
    "witness": "Findings about the hub's audit log",
    "hello": "Facts about this machine and its datasets' digests",
    "beat": "Heartbeats",
    "download": "File requests",
    "other": "Other requests",
    "welcome": "Number of steps, and where to continue",
    "step_begin": "Numbers of target tokens",
    "step_total": "Sums of target tokens",
    "activations:head_up": "Activations after the head, with padding masks and, in vanilla, labels",
    "activations:body_down": "Activations after the body",
    "gradients:tail_up": "Gradients from the tail",
    "gradients:body_grad_down": "Gradients from the body",
    "adapter_gradients": "Adapter gradients",
    "adapter_weights": "Adapter weights",
    "mask_keys": "Signed public keys, for masks and encrypted adapters",
    "sealed_adapter": "Adapters encrypted for another data organisation",
    "aggregate": "Global gradient norms, and summed gradients of adapters",
    "norms": "Gradient norms",
    "loss": "Micro-batch losses",
    "step_done": "Ends of steps that a party skipped",
    "bye": "Ends of a party's part",
    "hello_frames": "Greetings between halves, with the number of rows",
    "control": "Acknowledgements",
    "sent again": "Frames resent after a reconnect",
}


@dataclass(frozen=True)
class RunTotal:
    """All that left in one run; "" stands for what belongs to no run."""

    run_id: str
    lines: list[Line]
    bytes: int
    count: int
    notes: list[str]


def words_of(line: Line) -> str:
    """What a line is, for people."""
    kind = "hello_frames" if line.kind == "hello" and line.receiver != HUB else line.kind
    return WORDS.get(kind, kind.replace("_", " ").replace(":", ", ").capitalize())


def totals(book: Book, run_id: str | None = None) -> list[RunTotal]:
    """Each run, the latest first."""
    by_run: dict[str, list[Line]] = {}
    for line in book.lines(run_id):
        by_run.setdefault(line.run_id, []).append(line)
    writers = book.writers(run_id)
    return [
        RunTotal(
            run,
            sorted(lines, key=lambda one: -one.nbytes),
            sum(one.nbytes for one in lines),
            sum(one.count for one in lines),
            list(_notes(one for one in writers if one.run_id == run)),
        )
        for run, lines in by_run.items()
    ]


def as_json(total: RunTotal) -> dict[str, Any]:
    """A run for machines: hashes as hexadecimal text."""
    lines = [
        {**asdict(one), "what": words_of(one), "digest": one.digest.hex(), "content_digest": one.content_digest.hex()}
        for one in total.lines
    ]
    return {**asdict(total), "lines": lines}


def _notes(writers: Iterable[Writer]) -> Iterable[str]:
    for one in writers:
        if not one.ended and not _is_alive(one.pid):
            yield (
                f"Attempt {one.attempt} was killed: frames of its last {TELL_SECONDS:.0f} s, after {one.told_at}, "
                "may be missing here."
            )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
