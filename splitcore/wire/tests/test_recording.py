"""Frames in a file: whoever reads along at one end gets every message, and nothing that wasn't on the wire."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from splitcore.codecs.tensors import decode
from splitcore.wire.protocol.messages import FrameError, Message
from splitcore.wire.tests.factories import IDS, body_down, head_up, limits
from splitcore.wire.transport.faults import FaultRates, FaultyWire
from splitcore.wire.transport.memory import memory_pair
from splitcore.wire.transport.recording import ENTRY, Recording, recorded_messages

STEPS = 6


def converse(path: Path, rates: FaultRates | None = None) -> list[Message]:
    """A conversation, recorded at the client's end; returns the messages of either end, in their order."""
    recording = Recording(path)
    up, down = (FaultyWire(rates or FaultRates(), seed) for seed in (1, 2))
    client, server = memory_pair(limits("client"), limits("server"), tap=recording, probe_after=0.05, up=up, down=down)
    sent: list[Message] = []
    for step in range(STEPS):
        sent += [head_up(step), body_down(step, torch.full((1, 1, 16), float(step)))]
        client.send(sent[-2], timeout=20)
        server.receive(timeout=20)
        server.send(sent[-1], timeout=20)
        client.receive(timeout=20)
    recording.close()
    return sent


def read(path: Path) -> list[Message]:
    return list(recorded_messages(path, up=limits("server"), down=limits("client")))


@pytest.mark.parametrize("rates", [None, FaultRates(duplicate=0.5)], ids=["clean", "doubled"])
def test_every_message_of_both_directions_is_read_once_and_in_order(tmp_path: Path, rates: FaultRates | None) -> None:
    sent = converse(tmp_path / "frames", rates)
    found = read(tmp_path / "frames")
    assert [(one.label, one.step, one.session) for one in found] == [(one.label, one.step, IDS) for one in sent]
    for ours, theirs in zip(found, sent, strict=True):
        assert torch.equal(decode(ours.tensors["hidden"]), decode(theirs.tensors["hidden"]))


def test_a_file_that_was_cut_off_or_altered_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    converse(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(FrameError):
        read(path)
    path.write_bytes(whole + b"\1\2\3")
    with pytest.raises(FrameError):
        read(path)
    path.write_bytes(whole + ENTRY.pack(True, 1 << 63) + whole)
    with pytest.raises(FrameError):
        read(path)
    path.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    with pytest.raises(FrameError):
        read(path)
