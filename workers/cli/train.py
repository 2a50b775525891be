"""`cutlayer train`: a whole split fine-tuning on this machine, without a hub or an enrolment."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from splitcore.config import RunConfig, config_text
from splitcore.config.length import total_steps
from splitcore.data.sampling import hold_out
from splitcore.errors import AppError
from workers.cli.console import err, out
from workers.cli.local import Rows, local_model, quiet_libraries, rows_of
from workers.cli.progress import TrainingDisplay

STOPPED = 130  # exit status after Ctrl-C, as shells have it
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
_CHECKPOINTS, _ADAPTER = "checkpoints", "adapter"


@dataclass(frozen=True)
class Job:
    """A training on this machine, checked and ready."""

    config: RunConfig
    shards: dict[str, Rows]
    held_out: dict[str, Rows] | Rows | None
    out: Path

    def steps(self, left_out: Mapping[str, int]) -> int:
        """Optimiser steps in all, without so many rows of each party."""
        sizes = [self.config.for_party(name).training.batch_size for name in self.shards]
        return total_steps(
            self.config, [len(rows) - left_out.get(name, 0) for name, rows in self.shards.items()], sizes
        )


def train(
    config: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The run as YAML.")],
    data: Annotated[
        list[str], typer.Option(help="NAME=FILE of a data party, as JSON Lines, CSV or Parquet. Can be repeated.")
    ],
    held_out: Annotated[
        Path | None, typer.Option("--eval", help="File of held-out rows to measure during training.")
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder for the adapter and the checkpoints.")] = Path("run"),
    transport: Annotated[
        Literal["memory", "grpc"],
        typer.Option(help="memory: one process. grpc: one process per half, over mutual TLS."),
    ] = "memory",
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoints in the folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print events as JSON, one per line.")] = False,
) -> None:
    """Train on this machine: every data party and the compute side, cut as the configuration says.

    For those who want the engine alone: no hub, no accounts, no enrolment. Ctrl-C stops in order and saves checkpoints,
    from which --resume goes on.
    """
    _check_folder(folder, resume=resume)
    job = _prepare(config, data, held_out, folder)
    status = _run(job, transport, resume=resume, as_json=as_json)
    if status == "stopped":
        err.print(f"Stopped. The state is in {job.out / _CHECKPOINTS}; continue with --resume.")
        raise typer.Exit(STOPPED)
    if not as_json:
        _tell_result(job)


def _check_folder(folder: Path, *, resume: bool) -> None:
    """Nothing of an earlier training is overwritten. Raises AppError CL-1011, CL-1012."""
    if (folder / _ADAPTER).exists():
        raise AppError("CL-1011", f"{folder} holds the adapter of a finished training.")
    saved = any((folder / _CHECKPOINTS).glob("*/step-*"))
    if saved and not resume:
        raise AppError("CL-1011", f"{folder} holds the checkpoints of an unfinished training.")
    if resume and not saved:
        raise AppError("CL-1012", f"There is no checkpoint in {folder}.")


def _prepare(path: Path, data: Sequence[str], held_out: Path | None, folder: Path) -> Job:
    """Read the configuration and every file. Raises AppError CL-10xx, CL-12xx."""
    config = local_model(RunConfig.from_yaml(config_text(path)), path)
    shards: dict[str, Rows] = {}
    for item in data:
        name, separator, file = item.partition("=")
        if not separator or not _NAME.fullmatch(name) or name == "server" or name in shards:
            raise AppError("CL-1010", f"'{item}' isn't NAME=FILE with a unique name.")
        shards[name] = rows_of(name, Path(file), config)
    measured: dict[str, Rows] | Rows | None = None
    if held_out is not None:
        measured = rows_of("held-out", held_out, config)
    elif config.data.eval_fraction:
        parts = {n: hold_out(rows, config.data.eval_fraction) for n, rows in shards.items()}
        shards = {name: trained for name, (trained, _) in parts.items()}
        measured = {name: held for name, (_, held) in parts.items() if held}
    plain = config.data.model_copy(update={"columns": {}})  # the rows have their canonical columns by now
    return Job(config.model_copy(update={"data": plain}), shards, measured, folder)


@contextmanager
def _of_this_machine() -> Iterator[None]:
    """What helps here, where a worker's remedy would be to register the model."""
    try:
        yield
    except AppError as error:
        if error.code == "CL-1121":
            error.remedy = "Check the id and the network, or give the model's folder as model.name_or_path."
        raise


def _run(job: Job, transport: Literal["memory", "grpc"], *, resume: bool, as_json: bool) -> str:
    """Train, showing the progress; returns done or stopped. Raises AppError."""
    with (
        TrainingDisplay(list(job.shards), job.steps, as_json=as_json) as display,
        _interrupts() as wanted,
        _of_this_machine(),
    ):
        quiet_libraries()
        from splitcore import fine_tune

        result = fine_tune(
            job.config,
            job.shards,
            out=job.out,
            transport=transport,
            eval_rows=job.held_out,
            on_event=display.take,
            resume=resume,
            control=lambda: "stop" if wanted.stop else "run",
        )
        display.finish(result)
    return result.status


@dataclass
class _Wanted:
    stop: bool = False


@contextmanager
def _interrupts() -> Iterator[_Wanted]:
    """The first Ctrl-C or TERM asks for a stop; a second one ends the process as usual."""
    wanted = _Wanted()
    old: dict[signal.Signals, Any] = {}

    def ask(number: int, _frame: object) -> None:
        wanted.stop = True
        err.print("Stopping. Press again to end immediately.")
        signal.signal(number, old[signal.Signals(number)])

    for number in (signal.SIGINT, signal.SIGTERM):
        old[number] = signal.signal(number, ask)
    try:
        yield wanted
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _tell_result(job: Job) -> None:
    adapter = job.out.resolve() / _ADAPTER
    out.print(f"\nThe adapter is in [bold]{adapter}[/]. To use it:\n")
    base = job.config.model.name_or_path
    classes = job.config.data.task.classes
    model = "AutoModelForSequenceClassification" if classes else "AutoModelForCausalLM"
    options = f", num_labels={classes}" if classes else ""
    for line in (
        f"from peft import PeftModel; from transformers import {model}",
        f'base = {model}.from_pretrained("{base}"{options})',
        f'model = PeftModel.from_pretrained(base, "{adapter}")',
    ):
        out.print(f"    {line}", markup=False, style="cyan")
