"""All halves in this process, each in a thread of its own, joined by memory channels."""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from threading import Event, Thread
from types import MappingProxyType
from typing import Any

from splitcore.checkpoints.files import claimed_attempt
from splitcore.errors import AppError
from splitcore.masking.agreement import Signatory
from splitcore.run.settings import HalfResult, HalfSettings
from splitcore.step.link import LostError
from splitcore.training.client import ClientHalf
from splitcore.training.server import ServerHalf
from splitcore.wire.protocol.channel import Channel, Listener
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.protocol.messages import ChannelError, PeerError
from splitcore.wire.protocol.tap import Tap
from splitcore.wire.transport.certificates import create_identity
from splitcore.wire.transport.memory import memory_pair

Rows = Sequence[Mapping[str, Any]]


class MemoryListener:
    """The door of a server half that lives in the same process as its clients."""

    def __init__(self, opened: Event, taps: Mapping[str, Tap] = MappingProxyType({})) -> None:
        self._opened, self._taps = opened, taps
        self._limits: Mapping[str, FrameLimits] = {}
        self._newcomers: queue.Queue[Channel] = queue.Queue()
        self.closed = Event()
        self.address = ("memory", 0)

    def listen(self, limits: Mapping[str, FrameLimits]) -> Listener:
        """Open the door."""
        self._limits = limits
        self._opened.set()
        return self

    def connect(self, limits: FrameLimits) -> Channel:
        """A client comes in."""
        while not self._opened.wait(0.2):
            if self.closed.is_set():
                raise ChannelError("CL-1320")
        party = limits.session.participant
        client, server = memory_pair(limits, self._limits[party], tap=self._taps.get(party))
        self._newcomers.put(server)
        return client

    def accept(self, *, timeout: float | None = None) -> Channel:
        """See `Listener.accept`."""
        try:
            return self._newcomers.get(timeout=timeout)
        except queue.Empty:
            raise ChannelError("CL-1327") from None

    def close(self) -> None:
        """See `Listener.close`."""
        self.closed.set()


def run_in_threads(
    settings: HalfSettings,
    shards: Mapping[str, Rows],
    eval_rows: Mapping[str, Rows],
    sample_prompts: Sequence[str],
    *,
    taps: Mapping[str, Tap] = MappingProxyType({}),
) -> dict[str, HalfResult]:
    """Run the server half and every client half; results by party, the server's under "server".

    `taps`: party → who reads along at its end of the conversation.

    Raises what the first half to fail raised; the others end with it.
    """
    door = MemoryListener(Event(), taps)
    failed = Event()
    results: dict[str, HalfResult] = {}
    errors: list[BaseException] = []

    def work(name: str, run: Callable[[], HalfResult]) -> None:
        try:
            results[name] = run()
        except BaseException as error:  # carried to the caller's thread and raised there
            errors.append(error)
            failed.set()
            door.closed.set()

    control = settings.control
    watched = replace(settings, control=lambda: "stop" if failed.is_set() else control())
    attempt = 1
    if settings.checkpoints is not None:
        attempt += max(claimed_attempt(settings.checkpoints / name) for name in ("server", *shards))
    signatories = _signatories(list(shards)) if settings.config.privacy.masks_sums else {}
    halves: dict[str, Callable[[], HalfResult]] = {
        "server": ServerHalf(
            _folder(watched, "server"), listen=door.listen, attempt=attempt, attempts=dict.fromkeys(shards, attempt)
        ).run
    }
    halves |= {
        party: ClientHalf(
            replace(_folder(watched, party), signatory=signatories.get(party)),
            party=party,
            rows=rows,
            eval_rows=eval_rows.get(party, ()),
            connect=door.connect,
            attempt=attempt,
            sample_prompts=sample_prompts if number == 0 else (),
        ).run
        for number, (party, rows) in enumerate(shards.items())
    }
    threads = [Thread(target=work, args=item, name=f"half-{item[0]}") for item in halves.items()]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:  # an interrupt of the caller ends the halves too
        failed.set()
        raise
    if errors:
        raise _cause(errors)
    return results


def _signatories(parties: Sequence[str]) -> dict[str, Signatory]:
    """An identity for each data party, for as long as the run lasts."""
    identities = {party: create_identity(f"half-{number}") for number, party in enumerate(parties)}
    certificates = {party: identity.certificate_pem for party, identity in identities.items()}
    return {party: Signatory(identity.sign, certificates) for party, identity in identities.items()}


def _folder(settings: HalfSettings, name: str) -> HalfSettings:
    """The settings of one half, which writes into folders of its own."""
    checkpoints = settings.checkpoints / name if settings.checkpoints else None
    return replace(settings, out=settings.out / name, checkpoints=checkpoints)


def _cause(errors: list[BaseException]) -> BaseException:
    """The error that the others follow from: not the report of another half's end."""
    first = [error for error in errors if not isinstance(error, PeerError | ChannelError | LostError)]
    coded = [error for error in first if isinstance(error, AppError)]
    return (coded or first or errors)[0]
