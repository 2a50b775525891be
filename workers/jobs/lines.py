"""The lines of the Logs tab: our own sentences with numbers and known names, never a raw line.

Names of parties come from the contract, codes from the catalogue; no text of a row, a file or another machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from splitcore.control.events import CheckpointChanged, EvaluationFinished, Event, NonFinite, PartyLate, RowsLeftOut

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True)
class Line:
    """One line of a level."""

    level: Level
    message: str


PHASES = {
    "starting": "Starting.",
    "admission": "Checking that the split model computes the same as the whole model.",
    "loading_data": "Loading the dataset.",
    "loading_model": "Loading this site's part of the base model.",
    "connecting": "Connecting the halves.",
    "training": "Training.",
    "evaluating": "Measuring held-out rows.",
    "paused": "Paused.",
    "finishing": "Writing the adapter's segment.",
    "uploading": "Uploading the adapter's segment.",
    "verifying": "Checking the joined adapter.",
    "done": "Done.",
    "stopped": "Stopped.",
}


def phase_line(phase: str, step: int | None) -> Line:
    """The party entered a phase."""
    at = f" Step {step:,}." if step and phase in ("training", "paused", "stopped") else ""
    return Line("info", PHASES.get(phase, f"{phase}.") + at)


def line_of(event: Event) -> Line | None:
    """What an event of the engine is called in the log, if it belongs there."""
    if isinstance(event, CheckpointChanged):
        return _checkpoint(event)
    if isinstance(event, NonFinite):
        what = "An evaluation" if event.evaluation else "The step"
        skipped = "has no result" if event.evaluation else "was skipped"
        return Line("warning", f"{what} {skipped}: NaN or infinite value ({event.where}, {event.source}).")
    if isinstance(event, PartyLate):
        went_on = "The step continued without it" if event.action == "continue" else "The run pauses"
        return Line("warning", f"{', '.join(event.late)} was late. {went_on}.")
    if isinstance(event, RowsLeftOut):
        return Line("warning", left_out(event))
    if isinstance(event, EvaluationFinished):
        loss = "no loss" if event.loss is None else f"loss {event.loss:.4f}"
        counted = f"{event.tokens:,} tokens"
        if event.accuracy is not None:
            counted = f"accuracy {event.accuracy:.3f}, {event.rows:,} rows"
        return Line("info", f"Held-out rows: {loss}, {counted}, {event.seconds:.1f} s.")
    return None


def left_out(event: RowsLeftOut) -> str:
    """How many rows take no part, and what helps."""
    counts = [(event.rows, "rows to train on"), (event.held_out, "held-out rows")]
    words = " and ".join(f"{count:,} {what}" for count, what in counts if count)
    return (
        f"Left out {words}: the prompt alone takes up the {event.max_length:,} tokens of the longest row "
        "(training.max_length)."
    )


def _checkpoint(event: CheckpointChanged) -> Line:
    if event.action == "saved":
        return Line("info", f"Checkpoint saved after step {event.step:,}.")
    if event.action == "resumed":
        return Line("info", f"Recovered: continuing from the checkpoint after step {event.step:,}.")
    return Line("warning", f"The checkpoint after step {event.step:,} is damaged and was ignored.")


def link_line(connected: bool, *, again: bool) -> Line:
    """The connection to the compute site stands, or is gone."""
    if not connected:
        return Line("warning", "The connection to the compute site was lost. Reconnecting.")
    return Line("info", "Reconnected to the compute site." if again else "Connected to the compute site.")


def model_line(parameters: int, nbytes: int) -> Line:
    """The base model that this site registered was found."""
    return Line("info", f"Base model ready: {parameters:,} parameters, {nbytes / 1e6:,.1f} MB.")


def rows_line(train: int, held_out: int) -> Line:
    """The dataset was read."""
    return Line("info", f"Dataset loaded: {train:,} rows to train on, {held_out:,} held out.")


def failure_line(code: str) -> Line:
    """The job ended with an error of the catalogue."""
    return Line("error", f"The job failed with {code}.")
