"""The halves of a run as real processes over gRPC with mutual TLS, and the unsplit run: wall and CPU time, memory.

Marks are taken where a half tells that a step has finished; they are kept in its process and handed over at the end, so
that taking them costs nothing while it runs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import perf_counter, process_time, thread_time
from typing import Any

import torch

from splitcore.config import RunConfig
from splitcore.control.events import Event, StepFinished
from splitcore.run.settings import HalfSettings
from splitcore.training.client import ClientHalf
from splitcore.training.server import ServerHalf
from splitcore.training.unsplit import UnsplitRun
from splitcore.wire.transport.certificates import Identity, create_identity
from splitcore.wire.transport.grpc_channel import dial
from splitcore.wire.transport.grpc_listener import serve
from tests.benchmarks.children import child
from tests.benchmarks.models import full_rows

SERVER = "server"
Address = tuple[str, int]
Shards = Mapping[str, Sequence[dict[str, Any]]]


@dataclass(frozen=True)
class Mark:
    """The end of one step: on the clock that all processes share, in CPU seconds of this process, and by stage."""

    at: float
    cpu: float  # of all threads
    own: float  # of the thread that computes
    seconds: dict[str, float] = field(default_factory=dict)
    uplink: int = 0
    downlink: int = 0


@dataclass(frozen=True)
class Record:
    """What one process left. Memory in bytes: the most that it held, and what it held before it began."""

    marks: list[Mark]
    peak: int
    baseline: int

    def wall(self, warm: int) -> float:
        """Seconds a step, the first `warm` steps left out."""
        return (self.marks[-1].at - self.marks[warm - 1].at) / (len(self.marks) - warm)

    def cpu(self, warm: int) -> float:
        """CPU seconds a step, of all threads."""
        return (self.marks[-1].cpu - self.marks[warm - 1].cpu) / (len(self.marks) - warm)

    def aside(self, warm: int) -> float:
        """CPU seconds a step of all threads but the one that computes: the wire's."""
        own = (self.marks[-1].own - self.marks[warm - 1].own) / (len(self.marks) - warm)
        return self.cpu(warm) - own

    def stage(self, warm: int) -> dict[str, float]:
        """Seconds a step by stage."""
        counted = self.marks[warm:]
        names = {name for mark in counted for name in mark.seconds}
        return {name: sum(mark.seconds.get(name, 0.0) for mark in counted) / len(counted) for name in sorted(names)}


@dataclass(frozen=True)
class Job:
    """What a process is to run."""

    config: RunConfig
    parties: list[str]
    rows: list[dict[str, Any]]
    threads: int
    identity: Identity | None = None
    pins: dict[str, str] = field(default_factory=dict)
    party: str = SERVER
    shards: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # each party's own rows, else `rows` for all
    out: str = ""  # where adapters are kept, else nowhere

    def rows_of(self, party: str) -> list[dict[str, Any]]:
        """What a party trains on."""
        return self.shards.get(party, self.rows)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Where the half writes to."""
        if self.out:
            yield Path(self.out) / self.party
            return
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


def run_split(
    config: RunConfig,
    *,
    parties: int = 1,
    threads: int = 1,
    through: Callable[[Address], Address] | None = None,
    shards: Shards | None = None,
    out: Path | None = None,
) -> dict[str, Record]:
    """Run every half in a process of its own: party (or "server") → its record.

    `through` may put a proxy between: it is given the server's address and returns the one to dial. `shards` are the
    parties' own rows, in place of rows that are made up; segments are kept in `out`/<party>.
    """
    own = {party: list(rows) for party, rows in (shards or {}).items()}
    names = list(own) or [f"p{number}" for number in range(parties)]
    identities = {name: create_identity(f"bench-{name}") for name in (SERVER, *names)}
    pins = {name: identity.certificate_pem for name, identity in identities.items()}
    rows = [] if own else _rows(config)
    kept = str(out or "")
    with ExitStack() as stack:
        pipes: dict[str, Connection] = {}
        for name in (SERVER, *names):
            job = Job(config, names, rows, threads, identities[name], pins, name, own, kept)
            pipes[name] = stack.enter_context(child(_serve if name == SERVER else _work, job))
            if name == SERVER:
                address = _answer(pipes[SERVER])
                reached = address if through is None else through(address)
            else:
                pipes[name].send(reached)
        return {name: _answer(pipe) for name, pipe in pipes.items()}


def run_unsplit(
    config: RunConfig,
    *,
    parties: int = 1,
    threads: int = 1,
    kind: type[UnsplitRun] = UnsplitRun,
    shards: Shards | None = None,
    out: Path | None = None,
) -> Record:
    """The same training without a split, in a process of its own; `shards` and `out` as for `run_split`."""
    own = {party: list(rows) for party, rows in (shards or {}).items()}
    names = list(own) or [f"p{number}" for number in range(parties)]
    rows = [] if own else _rows(config)
    job = Job(config, names, rows, threads, party="whole", shards=own, out=str(out or ""))
    with child(_train_unsplit, job, kind) as pipe:
        record: Record = _answer(pipe)
        return record


def _rows(config: RunConfig) -> list[dict[str, Any]]:
    return full_rows(4 * config.training.batch_size, config.training.max_length)


def _answer(pipe: Connection) -> Any:
    """What the process sent. Raises RuntimeError where it failed."""
    try:
        found = pipe.recv()
    except EOFError:
        raise RuntimeError("a benchmark's process ended without a result; its error stands above") from None
    return found


# ---- inside the processes


class _Recorder:
    """Takes marks, and what the process held before it began."""

    def __init__(self) -> None:
        self._baseline, self.marks = _peak(), list[Mark]()

    def mark(self, seconds: Mapping[str, float] | None = None, uplink: int = 0, downlink: int = 0) -> None:
        self.marks.append(Mark(perf_counter(), process_time(), thread_time(), dict(seconds or {}), uplink, downlink))

    def emit(self, event: Event) -> None:
        if isinstance(event, StepFinished):
            self.mark(event.seconds, event.uplink_bytes, event.downlink_bytes)

    def record(self) -> Record:
        return Record(self.marks, _peak(), self._baseline)


def _peak() -> int:
    return getrusage(RUSAGE_SELF).ru_maxrss * 1024


def _settings(job: Job, folder: Path, recorder: _Recorder) -> HalfSettings:
    return HalfSettings(
        config=job.config,
        parties=job.parties,
        model_source=job.config.model.name_or_path,
        out=folder,
        emit=recorder.emit,
    )


def _serve(pipe: Connection, job: Job) -> None:
    recorder = _Recorder()
    torch.set_num_threads(job.threads)
    identity = job.identity
    if identity is None:
        raise ValueError("a half needs an identity")
    clients = {party: job.pins[party] for party in job.parties}
    with job.folder() as folder:
        ServerHalf(
            _settings(job, folder, recorder),
            listen=lambda limits: serve(identity=identity, clients=clients, limits=limits, host="127.0.0.1"),
            ready=pipe.send,
        ).run()
    pipe.send(recorder.record())


def _work(pipe: Connection, job: Job) -> None:
    recorder = _Recorder()
    torch.set_num_threads(job.threads)
    identity = job.identity
    if identity is None:
        raise ValueError("a half needs an identity")
    host, port = pipe.recv()
    pin = job.pins[SERVER]
    with job.folder() as folder:
        ClientHalf(
            _settings(job, folder, recorder),
            party=job.party,
            rows=job.rows_of(job.party),
            connect=lambda limits: dial(host, port, identity=identity, server_certificate=pin, limits=limits),
        ).run()
    pipe.send(recorder.record())


def _train_unsplit(pipe: Connection, job: Job, kind: type[UnsplitRun]) -> None:
    recorder = _Recorder()
    torch.set_num_threads(job.threads)

    class Timed(kind):  # type: ignore[misc, valid-type]
        """Marks the end of every step."""

        def _step(self, *arguments: Any, **named: Any) -> None:
            super()._step(*arguments, **named)
            recorder.mark()

    with job.folder() as folder:
        Timed(job.config, {party: job.rows_of(party) for party in job.parties}, folder, []).run()
    pipe.send(recorder.record())
