"""The public face: `fine_tune` runs a whole split fine-tuning, `fine_tune_unsplit` the same without a split."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any, Literal

from splitcore.adapters.join import join_segments
from splitcore.config import RunConfig
from splitcore.control.controller import Desired
from splitcore.control.events import EvaluationFinished, Event, StepFinished, event_from_dict
from splitcore.data.scores import Scores
from splitcore.errors import AppError
from splitcore.launch.threads import run_in_threads
from splitcore.run.plan import check_parties
from splitcore.run.settings import HalfResult, HalfSettings
from splitcore.training.unsplit import UnsplitRun
from splitcore.wire.transport.recording import Recording

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class RunResult:
    """What a fine-tuning gave, beside the adapters on disk.

    train_losses: party → mean loss per target token, one a step. eval_losses: (completed steps, mean token loss over
    the evaluation rows), where every value was finite. eval_scores: (completed steps, accuracy and macro-F1), of a task
    with labels. bytes: uplink (client to server) and downlink. seconds: stage → seconds, over all halves.
    status: stopped where `control` asked for it; there is no adapter then, and `resume` goes on.
    """

    train_losses: dict[str, list[float]]
    eval_losses: list[tuple[int, float]] = field(default_factory=list)
    eval_scores: list[tuple[int, Scores]] = field(default_factory=list)
    bytes: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    status: Literal["done", "stopped"] = "done"


def _run() -> Desired:
    """Nobody interferes."""
    return "run"


def fine_tune(
    config: RunConfig,
    shards: Mapping[str, Iterable[Mapping[str, Any]]],
    *,
    out: str | Path,
    transport: Literal["memory", "grpc"] = "memory",
    eval_rows: Iterable[Mapping[str, Any]] | Mapping[str, Iterable[Mapping[str, Any]]] | None = None,
    on_event: Callable[[Event], None] | None = None,
    sample_prompts: Sequence[str] = (),
    restarts: int = 0,
    resume: bool = False,
    control: Callable[[], Desired] = _run,
    capture: str | Path | None = None,
) -> RunResult:
    """Fine-tune one model over the parties of `shards` without joining their rows.

    Parameters
    ----------
    config
        The run. `model.name_or_path` is a local folder or an id on the model hub.
    shards
        Data party → its rows: prompt and completion, messages, or text. All of them are trained on;
        `data.eval_fraction` is for workers, which hold rows out before they train.
    out
        Folder for `adapter/` (a PEFT folder), `initial_adapter/` and `segments/`. Where several parties never exchange
        their ends (for example `personalised`, or `sequential` without relay), one adapter per party comes out:
        `adapters/<party>/`, and `adapter/` is the first party's.
    transport
        memory: every half in a thread of this process. grpc: a process for each, over mutual TLS on loopback.
    eval_rows
        Held-out rows, measured before the first step, every `training.eval_every` steps and at the end; or party →
        its rows. Rows for all are measured by the first party, or by each where the parties' adapters differ.
    on_event
        Called with each event, from the thread of a half, one at a time.
    sample_prompts
        Public prompts that the model answers at each evaluation (SampleWritten).
    restarts
        With grpc: how often killed processes may be started again in a row without a new common checkpoint.
    resume
        Go on from the newest checkpoints in `out`/checkpoints, which a run that failed, was interrupted or paused has
        left there, to the same adapter as if nothing had happened. Without any, training begins at the beginning.
    control
        Asked often, from several threads: run, or stop, which saves a checkpoint on every side and ends the training.
    capture
        With memory: folder for `<party>.frames`, every frame of each party's conversation as it went over the wire.

    Raises
    ------
    AppError
        With its code: CL-1001, 1002 (configuration, cut), 11xx (model, adapter), 12xx (rows), 13xx (wire),
        CL-1520, 1530, 1533 (a process was killed), CL-1531, 1532 (values that are not finite).
    """
    rows = {party: list(shard) for party, shard in shards.items()}
    check_parties(config, list(rows))
    target = Path(out)
    start = perf_counter()
    checkpoints = target / "checkpoints"
    if not resume:
        shutil.rmtree(checkpoints, ignore_errors=True)
    record = _Record(list(rows), on_event, checkpoints / "history.jsonl")
    with tempfile.TemporaryDirectory(prefix="cutlayer-run-") as scratch:
        settings = HalfSettings(
            config=config,
            parties=list(rows),
            model_source=config.model.name_or_path,
            out=Path(scratch),
            emit=record,
            control=control,
            checkpoints=checkpoints,
        )
        held_out = _held_out(config, list(rows), eval_rows)
        if transport == "memory":
            with _recordings(list(rows), capture) as taps:
                results = run_in_threads(settings, rows, held_out, sample_prompts, taps=taps)
        elif transport == "grpc" and capture is None:
            from splitcore.launch.processes import run_in_processes

            results = run_in_processes(settings, rows, held_out, sample_prompts, restarts=restarts)
        else:
            raise AppError("CL-1001", f"transport: '{transport}' isn't memory or grpc, or can't be recorded.")
        if any(half.status == "stopped" for half in results.values()):
            return replace(record.result(results, perf_counter() - start), status="stopped")
        _join_all(config, list(rows), Path(scratch), target)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return record.result(results, perf_counter() - start)


@contextmanager
def _recordings(parties: Sequence[str], folder: str | Path | None) -> Iterator[dict[str, Recording]]:
    """Party → its file of frames, where there is a folder for them."""
    with ExitStack() as files:
        taps: dict[str, Recording] = {}
        for party in parties if folder is not None else ():
            taps[party] = files.enter_context(closing(Recording(Path(str(folder)) / f"{party}.frames")))
        yield taps


def fine_tune_unsplit(
    config: RunConfig,
    shards: Mapping[str, Iterable[Mapping[str, Any]]],
    *,
    out: str | Path,
    eval_rows: Iterable[Mapping[str, Any]] | None = None,
    initial: str | Path | None = None,
) -> RunResult:
    """The same training with ordinary PEFT on the whole model: what `fine_tune` is compared with.

    `initial`: a PEFT folder, such as `fine_tune`'s `initial_adapter`, whose weights it begins with.
    """
    rows = {party: list(shard) for party, shard in shards.items()}
    run = UnsplitRun(config, rows, Path(out), list(eval_rows or ()), None if initial is None else Path(initial))
    run.run()
    nothing = {"uplink": 0, "downlink": 0}
    return RunResult(run.train_losses, run.eval_losses, run.eval_scores, nothing, run.seconds)


def _held_out(
    config: RunConfig,
    parties: Sequence[str],
    eval_rows: Iterable[Mapping[str, Any]] | Mapping[str, Iterable[Mapping[str, Any]]] | None,
) -> dict[str, Rows]:
    """Which party measures which rows."""
    if eval_rows is None:
        return {}
    if isinstance(eval_rows, Mapping):
        return {party: list(rows) for party, rows in eval_rows.items()}
    every = list(eval_rows)
    alike = config.schedule.exchange(len(parties)).alike
    return {parties[0]: every} if alike else dict.fromkeys(parties, every)


def _join_all(config: RunConfig, parties: Sequence[str], scratch: Path, out: Path) -> None:
    """Join the segments of every adapter that came out, trained and initial."""
    separate = config.schedule.exchange(len(parties)).own_ends
    for folder, target, several in (("segments", "adapter", "adapters"), ("initial", "initial_adapter", "")):
        body = scratch / "server" / folder / "body"
        for party in parties if separate and several else parties[:1]:
            ends = sorted((scratch / party / folder).iterdir())
            if separate and several:
                join_segments([*ends, body], out / several / party)
            if party == parties[0]:
                join_segments([*ends, body], out / target)
    shutil.rmtree(out / "segments", ignore_errors=True)
    for name in ("server", *parties):
        shutil.copytree(scratch / name / "segments", out / "segments" / name)


class _Record:
    """Collects the events of all halves and passes them on, one at a time.

    A step that is trained again after a resumption counts once. What a resumed run needs of its past is in `history`.
    """

    def __init__(self, parties: Sequence[str], listener: Callable[[Event], None] | None, history: Path) -> None:
        self._lock, self._listener, self._history = Lock(), listener, history
        self._train: dict[str, dict[int, float]] = {party: {} for party in parties}
        self._evaluations: dict[int, dict[str, EvaluationFinished]] = defaultdict(dict)
        history.parent.mkdir(parents=True, exist_ok=True)
        if history.exists():
            for line in history.read_text(encoding="utf-8").splitlines():
                self._note(event_from_dict(json.loads(line)))

    def __call__(self, event: Event) -> None:
        """Take an event."""
        with self._lock:
            if self._note(event):
                with self._history.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(event.to_dict()) + "\n")
            if self._listener is not None:
                self._listener(event)

    def _note(self, event: Event) -> bool:
        """Whether the event belongs into the result."""
        if isinstance(event, StepFinished) and event.party in self._train and event.loss is not None:
            self._train[event.party][event.step] = event.loss
        elif isinstance(event, EvaluationFinished):
            self._evaluations[event.step][event.party] = event
        else:
            return False
        return True

    def result(self, results: Mapping[str, HalfResult], total: float) -> RunResult:
        """Everything together; evaluations of several parties are weighted by their tokens."""
        measured = [(step, _mean(list(by.values()))) for step, by in sorted(self._evaluations.items())]
        evaluations = [(step, loss) for step, loss in measured if loss is not None]
        train = {party: [losses[step] for step in sorted(losses)] for party, losses in self._train.items()}
        server = results["server"]
        seconds: dict[str, float] = defaultdict(float)
        for half in results.values():
            for stage, value in half.seconds.items():
                seconds[stage] += value
        traffic = {"uplink": server.uplink_bytes, "downlink": server.downlink_bytes}
        scored = [(step, _scores(list(by.values()))) for step, by in sorted(self._evaluations.items())]
        scores = [(step, found) for step, found in scored if found is not None]
        return RunResult(train, evaluations, scores, traffic, {**seconds, "total": total})


def _mean(events: Sequence[EvaluationFinished]) -> float | None:
    """None where a party's loss is not available: the others' mean would be no figure of the run."""
    known = [(event.loss, event.tokens) for event in events if event.loss is not None]
    if len(known) < len(events):
        return None
    if len(known) == 1:
        return known[0][0]
    return sum(loss * tokens for loss, tokens in known) / sum(tokens for _, tokens in known)


def _scores(events: Sequence[EvaluationFinished]) -> Scores | None:
    """The parties' scores, weighted by their rows; None where one has none."""
    known = [(e.accuracy, e.macro_f1, e.rows) for e in events if e.accuracy is not None and e.macro_f1 is not None]
    if not known or len(known) < len(events):
        return None
    if len(known) == 1:
        return Scores(known[0][0], known[0][1])
    total = sum(rows for *_, rows in known)
    return Scores(sum(one * rows for one, _, rows in known) / total, sum(f1 * rows for _, f1, rows in known) / total)
