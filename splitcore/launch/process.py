"""One half as a process of its own: `python -m splitcore.launch.process SPEC`, over gRPC with mutual TLS.

Its home holds the rows and its identity, the same in every attempt; its folder the attempt's own files: spec.json,
events.jsonl, which it writes as it goes, and at the end result.json, with the result or the error.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from splitcore.config import RunConfig
from splitcore.control.events import Event
from splitcore.errors import AppError

READY, RESULT, EVENTS, STOP = "ready.json", "result.json", "events.jsonl", "stop"


@dataclass(frozen=True)
class ProcessSpec:
    """What a half's process is told."""

    role: str  # client | server
    party: str
    parties: list[str]
    config: dict[str, Any]
    model_source: str
    run: str
    home: str  # its own
    folder: str  # its own in this attempt
    certificates: dict[str, str]  # participant (or "server") → PEM that is pinned
    server_folder: str  # where the server half tells its address
    sample_prompts: list[str]
    threads: int
    attempt: int = 1
    checkpoints: str = ""
    dies_at: str = ""  # a drill: "stage@step", where the process kills itself

    @classmethod
    def read(cls, path: Path) -> ProcessSpec:
        """Read a spec.json."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self) -> Path:
        """Write spec.json into the half's folder."""
        path = Path(self.folder) / "spec.json"
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path


def main(arguments: Sequence[str]) -> int:
    """Run the half of the spec that is named; returns the exit status."""
    import torch

    spec = ProcessSpec.read(Path(arguments[0]))
    folder = Path(spec.folder)
    if spec.threads:
        torch.set_num_threads(spec.threads)
    outcome: dict[str, Any]
    try:
        outcome = {"result": _plain(asdict(_run_half(spec, folder)))}
    except AppError as error:
        outcome = {"error": {"kind": type(error).__name__, **error.to_dict()}}
    except Exception as error:  # any other end is told by its class: a message could hold data
        outcome = {
            "error": {"kind": type(error).__name__, "code": "CL-1999", "message": "", "remedy": "", "details": {}}
        }
    partial = folder / f".{RESULT}"
    partial.write_text(json.dumps(outcome), encoding="utf-8")
    partial.replace(folder / RESULT)
    return 1 if "error" in outcome else 0


def _plain(data: Any) -> Any:
    """Paths as text."""
    if isinstance(data, Mapping):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_plain(value) for value in data]
    return str(data) if isinstance(data, Path) else data


def _run_half(spec: ProcessSpec, folder: Path) -> Any:
    from splitcore.masking.agreement import Signatory
    from splitcore.run.settings import HalfSettings
    from splitcore.training.client import ClientHalf
    from splitcore.training.server import ServerHalf
    from splitcore.wire.transport.certificates import load_identity
    from splitcore.wire.transport.grpc_channel import dial
    from splitcore.wire.transport.grpc_listener import serve

    home = Path(spec.home)
    identity, config = load_identity(home), RunConfig.parse(spec.config)
    patience = float(config.wire.patience)
    with (folder / EVENTS).open("a", encoding="utf-8", buffering=1) as events:

        def emit(event: Event) -> None:
            events.write(json.dumps(event.to_dict()) + "\n")

        settings = HalfSettings(
            config=config,
            parties=spec.parties,
            model_source=spec.model_source,
            out=folder,
            run=spec.run,
            emit=emit,
            control=lambda: "stop" if (folder / STOP).exists() else "run",
            checkpoints=Path(spec.checkpoints) if spec.checkpoints else None,
            observe=_drill(spec.dies_at),
            signatory=Signatory(identity.sign, {party: spec.certificates[party] for party in spec.parties}),
        )
        if spec.role == "server":
            clients = {party: spec.certificates[party] for party in spec.parties}
            return ServerHalf(
                settings,
                listen=lambda limits: serve(
                    identity=identity, clients=clients, limits=limits, host="127.0.0.1", patience=patience
                ),
                attempt=spec.attempt,
                attempts=dict.fromkeys(spec.parties, spec.attempt),
                ready=lambda address: _tell(folder, address),
            ).run()

        def connect(limits: Any) -> Any:
            host, port = _address(Path(spec.server_folder), folder)
            pinned = spec.certificates["server"]
            return dial(host, port, identity=identity, server_certificate=pinned, limits=limits, patience=patience)

        return ClientHalf(
            settings,
            party=spec.party,
            rows=_rows(home / "rows.jsonl"),
            eval_rows=_rows(home / "eval.jsonl"),
            connect=connect,
            attempt=spec.attempt,
            sample_prompts=spec.sample_prompts,
        ).run()


def _drill(dies_at: str) -> Callable[[str, int], None]:
    """What ends this process as a crash would, at once and without a word, at the named place."""
    place, _, when = dies_at.partition("@")

    def observe(stage: str, step: int) -> None:
        if dies_at and (stage, str(step)) == (place, when):
            os.kill(os.getpid(), signal.SIGKILL)

    return observe


def _rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _tell(folder: Path, address: tuple[str, int]) -> None:
    partial = folder / f".{READY}"
    partial.write_text(json.dumps({"host": address[0], "port": address[1]}), encoding="utf-8")
    partial.replace(folder / READY)


def _address(server_folder: Path, folder: Path, patience: float = 600.0) -> tuple[str, int]:
    """Wait for the server half's address."""
    deadline = monotonic() + patience
    while not (server_folder / READY).exists():
        if (folder / STOP).exists() or monotonic() > deadline:
            raise AppError("CL-1320")
        sleep(0.02)
    found = json.loads((server_folder / READY).read_text(encoding="utf-8"))
    return str(found["host"]), int(found["port"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
