"""Both halves in threads of this process, joined by real gRPC, with a hand on the network between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from threading import Thread

from splitcore.config import RunConfig
from splitcore.control.events import Event, StepFinished
from splitcore.models.tests.tiny import rows
from splitcore.run.settings import HalfResult, HalfSettings
from splitcore.training.client import ClientHalf
from splitcore.training.server import ServerHalf
from splitcore.wire.protocol.channel import Channel, Listener
from splitcore.wire.protocol.egress import Egress
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.tests.relay import Relay
from splitcore.wire.transport.certificates import create_identity
from splitcore.wire.transport.grpc_channel import dial
from splitcore.wire.transport.grpc_listener import serve

Adapter = list[bytes]
SERVER, CLIENT = create_identity("server"), create_identity("client")


def adapter(results: Mapping[str, HalfResult]) -> Adapter:
    return [
        (path / "adapter_model.safetensors").read_bytes() for half in sorted(results) for path in results[half].segments
    ]


class Halves:
    """Both halves in threads of this process, joined by real gRPC through a relay that can be cut."""

    def __init__(self, config: RunConfig, out: Path, *, patience: float = 30.0, attempt: int = 1) -> None:
        self.events: list[Event] = []
        self.on_step: Callable[[int], None] = lambda step: None
        self.results: dict[str, HalfResult] = {}
        self.errors: dict[str, BaseException] = {}
        self.relay: Relay | None = None
        self.egress: Egress | None = None  # of the client half
        self._ready, self._patience = Flag(), patience
        settings = HalfSettings(
            config=config, parties=["a"], model_source=config.model.name_or_path, out=out, emit=self._emit
        )

        def of(name: str) -> HalfSettings:
            home = out / f"attempt-{attempt}" / name
            return replace(settings, out=home, checkpoints=out / "checkpoints" / name)

        self.server = ServerHalf(
            of("server"), listen=self._listen, ready=self._open, attempt=attempt, attempts={"a": attempt}
        )
        self.client = ClientHalf(of("a"), party="a", rows=rows(10), connect=self.connect, attempt=attempt)

    def _listen(self, limits: Mapping[str, FrameLimits]) -> Listener:
        clients = {"a": CLIENT.certificate_pem}
        return serve(identity=SERVER, clients=clients, limits=limits, host="127.0.0.1", patience=self._patience)

    def _open(self, address: tuple[str, int]) -> None:
        self.relay = Relay(address[1])
        self._ready.set()

    def connect(self, limits: FrameLimits) -> Channel:
        assert self._ready.wait(30)
        assert self.relay is not None
        pinned = SERVER.certificate_pem
        return dial(
            "127.0.0.1",
            self.relay.port,
            identity=CLIENT,
            server_certificate=pinned,
            limits=limits,
            patience=self._patience,
            egress=self.egress,
        )

    def _emit(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, StepFinished) and event.party == "a":
            self.on_step(event.step)

    def start(self) -> list[Thread]:
        work = {"server": self.server.run, "a": self.client.run}
        threads = [Thread(target=self._work, args=item, daemon=True) for item in work.items()]
        for thread in threads:
            thread.start()
        return threads

    def _work(self, name: str, run: Callable[[], HalfResult]) -> None:
        try:
            self.results[name] = run()
        except BaseException as error:
            self.errors[name] = error

    def run(self) -> Adapter:
        self.join(self.start())
        assert not self.errors
        return adapter(self.results)

    def join(self, threads: list[Thread]) -> None:
        for thread in threads:
            thread.join(timeout=120)
            assert not thread.is_alive()
        if self.relay is not None:
            self.relay.close()
