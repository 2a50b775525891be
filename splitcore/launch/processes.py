"""All halves as real processes on this machine, over gRPC with mutual TLS on loopback.

When one of them is killed, all are ended and started anew as the next attempt: they go on from the newest step of
which every half has a checkpoint.
"""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Condition
from time import monotonic
from typing import Any

from processes.fork_server import ForkedProcess, ForkServer
from splitcore.checkpoints.files import checkpoint_steps, claimed_attempt
from splitcore.control.events import event_from_dict
from splitcore.errors import AppError
from splitcore.launch.process import EVENTS, RESULT, STOP, ProcessSpec
from splitcore.run.settings import HalfResult, HalfSettings
from splitcore.wire.transport.certificates import create_identity

Rows = Sequence[Mapping[str, Any]]
LOOK = 0.05  # seconds between looks at the halves' files
GRACE = 5.0  # seconds for the other halves to end when one has failed


# this process's own: started once, ends with this process
_fork_server = ForkServer(
    "splitcore.launch.process",
    preload=[
        "splitcore.training.client",
        "splitcore.training.server",
        "splitcore.wire.transport.grpc_channel",
        "splitcore.wire.transport.grpc_listener",
    ],
)


class _Half:
    """One half's process, seen from outside."""

    def __init__(self, name: str, folder: Path, process: ForkedProcess) -> None:
        self.name, self.folder, self.process = name, folder, process
        self._read = 0
        self.over = False

    def new_events(self) -> list[dict[str, Any]]:
        """Events that were written since the last look."""
        path = self.folder / EVENTS
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self._read)
            whole, _, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + 1 if whole else 0
        return [json.loads(line) for line in whole.splitlines()]

    def outcome(self) -> dict[str, Any]:
        """The result or the error that it left; empty where it was killed before."""
        try:
            found: dict[str, Any] = json.loads((self.folder / RESULT).read_text(encoding="utf-8"))
        except OSError:
            return {}
        return found


class _KilledError(Exception):
    """A half's process is gone without a result."""

    def __init__(self, party: str, status: int | None) -> None:
        super().__init__(party)
        self.party, self.status = party, status


def run_in_processes(
    settings: HalfSettings,
    shards: Mapping[str, Rows],
    eval_rows: Mapping[str, Rows],
    sample_prompts: Sequence[str],
    *,
    restarts: int = 0,
    drills: Sequence[Mapping[str, str]] = (),
) -> dict[str, HalfResult]:
    """Run the server half and every client half in a process each; results by party, the server's under "server".

    restarts: how often all may be started again without a new common checkpoint since the last time.
    drills: for each attempt in turn, party or "server" → place where its process kills itself, see `ProcessSpec`.

    Raises the AppError of the half that failed first; the others are ended. CL-1520 where a half's process was killed,
    CL-1533 where that went on without progress.
    """
    specs = _specs(settings, shards, eval_rows, sample_prompts)
    folders = [Path(spec.checkpoints) for spec in specs.values() if spec.checkpoints]
    attempt = 1 + max((claimed_attempt(folder) for folder in folders), default=0)
    reached, left, falls = _common_step(folders), restarts, iter(drills)
    while True:
        fall = next(falls, {})
        try:
            return _attempt(settings, {name: _of_attempt(spec, attempt, fall) for name, spec in specs.items()})
        except _KilledError as killed:
            details = {"party": killed.party, "status": killed.status, "step": _common_step(folders)}
            if _common_step(folders) > reached:
                reached, left = _common_step(folders), restarts
            if left == 0:
                raise AppError("CL-1533" if restarts else "CL-1520", details=details) from None
            left, attempt = left - 1, attempt + 1


def _common_step(folders: Sequence[Path]) -> int:
    """The newest step of which every half has a checkpoint."""
    steps = [set(checkpoint_steps(folder)) for folder in folders]
    return max(set.intersection(*steps), default=0) if steps else 0


def _of_attempt(spec: ProcessSpec, attempt: int, fall: Mapping[str, str]) -> ProcessSpec:
    """A half's spec for one attempt, with a folder of that attempt's own."""
    folder = Path(spec.home) / f"attempt-{attempt}"
    server_folder = Path(spec.server_folder) / f"attempt-{attempt}"
    return replace(
        spec,
        folder=str(folder),
        server_folder=str(server_folder),
        attempt=attempt,
        dies_at=fall.get(spec.party, ""),
    )


def _attempt(settings: HalfSettings, specs: Mapping[str, ProcessSpec]) -> dict[str, HalfResult]:
    """Run every half once. Raises AppError, or _KilledError where a half's process was killed."""
    halves: list[_Half] = []
    killed: _Half | None = None
    try:
        for name, spec in specs.items():
            Path(spec.folder).mkdir(mode=0o700)
            halves.append(_Half(name, Path(spec.folder), _started(spec)))
        killed = _follow(halves, settings)
    finally:
        for half in halves:
            half.process.kill()
    for half in halves:
        _wait(half.process)  # nothing of this attempt may be at work when the next one begins
    outcomes = {half.name: half.outcome() for half in halves}
    _raise_first(outcomes)
    killed = killed or next((half for half in halves if not outcomes[half.name]), None)
    if killed is not None:
        raise _KilledError(killed.name, killed.process.returncode)
    return {name: _take_home(specs[name], outcome["result"]) for name, outcome in outcomes.items()}


def _started(spec: ProcessSpec) -> ForkedProcess:
    try:
        process = _fork_server.start([str(spec.write())])
    except OSError:
        process = None
    if process is None:
        raise AppError("CL-1999", "The half's process couldn't be started.")
    return process


def _wait(process: ForkedProcess) -> None:
    try:
        process.wait(timeout=30.0)
    except subprocess.TimeoutExpired:
        raise AppError("CL-1999", "A half's process doesn't end.") from None


def _take_home(spec: ProcessSpec, data: dict[str, Any]) -> HalfResult:
    """The result of a half, and its files from the attempt's folder to the half's own."""
    for kind in ("initial", "segments"):
        if (Path(spec.folder) / kind).exists():  # not where it was stopped
            (Path(spec.folder) / kind).rename(Path(spec.home) / kind)
    segments = [Path(spec.home) / Path(path).relative_to(spec.folder) for path in data["segments"]]
    return HalfResult(**{**data, "segments": segments, "checkpoint": None})


def _specs(
    settings: HalfSettings, shards: Mapping[str, Rows], eval_rows: Mapping[str, Rows], sample_prompts: Sequence[str]
) -> dict[str, ProcessSpec]:
    """A home, an identity and a spec for each half."""
    import torch

    identities = {name: create_identity(f"half-{number}") for number, name in enumerate(["server", *shards])}
    certificates = {name: identity.certificate_pem for name, identity in identities.items()}
    specs: dict[str, ProcessSpec] = {}
    run = uuid.uuid4().hex
    source = str(settings.model_source)
    if Path(source).is_dir():
        source = str(Path(source).resolve())  # the processes may stand in another folder
    for name, identity in identities.items():
        home = settings.out / name
        home.mkdir(parents=True, mode=0o700)
        identity.save(home)
        if name != "server":
            _write_rows(home / "rows.jsonl", shards[name])
            _write_rows(home / "eval.jsonl", eval_rows.get(name, ()))
        specs[name] = ProcessSpec(
            role="server" if name == "server" else "client",
            party=name,
            parties=list(shards),
            config=settings.config.model_dump(mode="json"),
            model_source=source,
            run=run,
            home=str(home),
            folder=str(home),
            certificates=certificates,
            server_folder=str(settings.out / "server"),
            sample_prompts=list(sample_prompts) if name == next(iter(shards)) else [],
            threads=torch.get_num_threads(),
            checkpoints=str((settings.checkpoints / name).resolve()) if settings.checkpoints else "",
        )
    return specs


def _write_rows(path: Path, rows: Rows) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(dict(row)) + "\n")


def _follow(halves: Sequence[_Half], settings: HalfSettings) -> _Half | None:
    """Pass events on until every process has ended, or until one was killed, which is returned.

    When one fails, the others are asked to stop and left alone for GRACE seconds.
    """
    deadline: float | None = None
    waiting = Condition()
    while not all(half.over for half in halves):
        if settings.control() == "stop":
            for half in halves:
                (half.folder / STOP).touch()
        for half in halves:
            gone = half.process.poll() is not None  # asked before the events are read, so that none is missed
            for event in half.new_events():
                settings.emit(event_from_dict(event))
            half.over = half.over or gone
            if not half.over or deadline is not None:
                continue
            outcome = half.outcome()
            if not outcome:
                return half
            if "error" in outcome:
                deadline = monotonic() + GRACE
                for other in halves:
                    (other.folder / STOP).touch()
        if deadline is not None and monotonic() > deadline:
            break
        with waiting:
            waiting.wait(LOOK)
    return None


def _raise_first(outcomes: Mapping[str, dict[str, Any]]) -> None:
    """Raise the error that the others follow from: not the report of another half's end."""
    errors = [outcome["error"] for outcome in outcomes.values() if "error" in outcome]
    causes = [error for error in errors if error["kind"] not in ("PeerError", "ChannelError", "LostError")]
    if not causes and not all(outcomes.values()):
        return  # they follow from a process that was killed
    for first in (causes or errors)[:1]:
        raise AppError(
            first["code"], first.get("message") or None, first.get("remedy") or None, details=first.get("details")
        )
