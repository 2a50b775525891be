"""All halves as real processes on this machine, over gRPC with mutual TLS on loopback."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Condition, Lock, Thread
from time import monotonic
from typing import Any

from splitcore.errors import AppError
from splitcore.training.events import event_from_dict
from splitcore.training.halves import HalfResult, HalfSettings
from splitcore.training.process import EVENTS, RESULT, STOP, ProcessSpec
from splitcore.wire.certificates import create_identity

Rows = Sequence[Mapping[str, Any]]
LOOK = 0.05  # seconds between looks at the halves' files
GRACE = 5.0  # seconds for the other halves to end when one has failed


class _Nursery:
    """This process's nursery: started once, ends with this process."""

    def __init__(self) -> None:
        self._state = Condition()
        self._pids: dict[str, int] = {}
        self._ended: dict[int, int] = {}
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "splitcore.training.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        Thread(target=self._listen, daemon=True, name="nursery").start()
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        """Whether it can start halves."""
        return self._process.poll() is None

    def start(self, spec: Path) -> int:
        """Start a half; returns its process id. Raises AppError CL-1999."""
        self._wish({"run": str(spec)})
        with self._state:
            if not self._state.wait_for(lambda: str(spec) in self._pids or not self.alive, timeout=120.0):
                raise AppError("CL-1999", "The half's process did not start in time.")
            if str(spec) not in self._pids:
                raise AppError("CL-1999", "The half's process could not be started.")
            return self._pids[str(spec)]

    def kill(self, pid: int) -> None:
        """End a half at once."""
        self._wish({"kill": pid})

    def ended(self, pid: int) -> bool:
        """Whether a half's process is gone."""
        with self._state:
            return pid in self._ended or not self.alive

    def close(self) -> None:
        """End it and every half that it runs."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _wish(self, wish: dict[str, Any]) -> None:
        if self._process.stdin is None:
            return
        self._process.stdin.write((json.dumps(wish) + "\n").encode())
        self._process.stdin.flush()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            fact = json.loads(line)
            with self._state:
                if "started" in fact:
                    self._pids[fact["started"]] = int(fact["pid"])
                elif "ended" in fact:
                    self._ended[int(fact["ended"])] = int(fact["status"])
                self._state.notify_all()
        with self._state:
            self._state.notify_all()


_nursery: _Nursery | None = None
_starting = Lock()


def _the_nursery() -> _Nursery:
    global _nursery
    with _starting:
        if _nursery is None or not _nursery.alive:
            _nursery = _Nursery()
        return _nursery


class _Half:
    """One half's process, seen from outside."""

    def __init__(self, name: str, folder: Path, pid: int) -> None:
        self.name, self.folder, self.pid = name, folder, pid
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
        """The result or the error that it left."""
        try:
            found: dict[str, Any] = json.loads((self.folder / RESULT).read_text(encoding="utf-8"))
        except OSError:
            return {"error": {"kind": "", "code": "CL-1999", "message": "A half's process ended without a result."}}
        return found


def run_in_processes(
    settings: HalfSettings,
    shards: Mapping[str, Rows],
    eval_rows: Mapping[str, Rows],
    sample_prompts: Sequence[str],
) -> dict[str, HalfResult]:
    """Run the server half and every client half in a process each; results by party, the server's under "server".

    Raises the AppError of the half that failed first; the others are ended.
    """
    nursery = _the_nursery()
    specs = _specs(settings, shards, eval_rows, sample_prompts)
    halves: list[_Half] = []
    try:
        for name, spec in specs.items():
            halves.append(_Half(name, Path(spec.folder), nursery.start(spec.write())))
        _follow(nursery, halves, settings)
    finally:
        for half in halves:
            if not nursery.ended(half.pid):
                nursery.kill(half.pid)
    outcomes = {half.name: half.outcome() for half in halves}
    _raise_first(outcomes)
    return {name: _result(outcome["result"]) for name, outcome in outcomes.items()}


def _specs(
    settings: HalfSettings, shards: Mapping[str, Rows], eval_rows: Mapping[str, Rows], sample_prompts: Sequence[str]
) -> dict[str, ProcessSpec]:
    """A folder, an identity and a spec for each half."""
    import torch

    identities = {name: create_identity(f"half-{number}") for number, name in enumerate(["server", *shards])}
    certificates = {name: identity.certificate_pem for name, identity in identities.items()}
    specs: dict[str, ProcessSpec] = {}
    run = uuid.uuid4().hex
    source = str(settings.model_source)
    if Path(source).is_dir():
        source = str(Path(source).resolve())  # the processes may stand in another folder
    for name, identity in identities.items():
        folder = settings.out / name
        folder.mkdir(parents=True, mode=0o700)
        identity.save(folder)
        if name != "server":
            _write_rows(folder / "rows.jsonl", shards[name])
            _write_rows(folder / "eval.jsonl", eval_rows.get(name, ()))
        specs[name] = ProcessSpec(
            role="server" if name == "server" else "client",
            party=name,
            parties=list(shards),
            config=settings.config.model_dump(mode="json"),
            model_source=source,
            run=run,
            folder=str(folder),
            certificates=certificates,
            server_folder=str(settings.out / "server"),
            sample_prompts=list(sample_prompts) if name == next(iter(shards)) else [],
            threads=torch.get_num_threads(),
        )
    return specs


def _write_rows(path: Path, rows: Rows) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(dict(row)) + "\n")


def _follow(nursery: _Nursery, halves: Sequence[_Half], settings: HalfSettings) -> None:
    """Pass events on until every process has ended; when one fails, ask the others to stop, then end them."""
    deadline: float | None = None
    waiting = Condition()
    while not all(half.over for half in halves):
        for half in halves:
            gone = nursery.ended(half.pid)  # asked before the events are read, so that none is missed
            for event in half.new_events():
                settings.emit(event_from_dict(event))
            half.over = half.over or gone
            if half.over and deadline is None and "error" in half.outcome():
                deadline = monotonic() + GRACE
                for other in halves:
                    (other.folder / STOP).touch()
        if deadline is not None and monotonic() > deadline:
            return
        with waiting:
            waiting.wait(LOOK)


def _raise_first(outcomes: Mapping[str, dict[str, Any]]) -> None:
    """Raise the error that the others follow from: not the report of another half's end."""
    errors = [outcome["error"] for outcome in outcomes.values() if "error" in outcome]
    if not errors:
        return
    causes = [error for error in errors if error["kind"] not in ("PeerError", "ChannelError", "")]
    first = (causes or errors)[0]
    raise AppError(
        first["code"], first.get("message") or None, first.get("remedy") or None, details=first.get("details")
    )


def _result(data: dict[str, Any]) -> HalfResult:
    segments = [Path(path) for path in data["segments"]]
    return HalfResult(**{**data, "segments": segments, "checkpoint": None})
