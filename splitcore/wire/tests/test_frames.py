"""Frames: the named ways of being wrong, and that nothing but FrameError ever comes out of bad bytes (promise 15)."""

from __future__ import annotations

import contextlib
import json
import random
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from splitcore.codecs.tensors import decode, encode
from splitcore.wire.protocol import frames
from splitcore.wire.protocol.frames import PREFIX, FrameType
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.protocol.messages import FrameError, Kind, Message, Phase, SessionIds
from splitcore.wire.tests.factories import IDS, LENGTH, ROWS, WIDTH, head_up, limits

SERVER = limits("server")


def frame_of(message: Message, ids: SessionIds = IDS) -> bytes:
    [frame] = frames.encode(replace(message, session=ids), 1, max_frame_bytes=1 << 30).frames
    return frame


def read(data: bytes, bounds: FrameLimits = SERVER) -> Message:
    """The message of a frame; that of a frame which only continues one is never made."""
    prefix = frames.read_prefix(data, bounds.max_frame_bytes)
    if prefix.type is FrameType.MORE:
        frames.part_of(prefix, data)
    return frames.decode(prefix, data, bounds).message


def sealed(prefix: list[Any], header: bytes, body: bytes) -> bytes:
    """A frame whose lengths and checksum are right, whatever its parts are."""
    prefix[3], prefix[4] = len(header), len(body)
    start = PREFIX.pack(*prefix, 0)[:-4]
    return start + frames.checksum(start, header, [body]).to_bytes(4, "big") + header + body


def parts(data: bytes) -> tuple[list[Any], bytes, bytes]:
    fields = list(PREFIX.unpack_from(data))
    split = PREFIX.size + fields[3]
    return fields[:-1], data[PREFIX.size : split], data[split:]


GOOD = frame_of(head_up())


def with_header(change: Callable[[dict[str, Any]], object]) -> bytes:
    prefix, header, body = parts(GOOD)
    parsed = json.loads(header)
    change(parsed)
    return sealed(prefix, json.dumps(parsed).encode(), body)


def with_raw_header(header: bytes) -> bytes:
    prefix, _, body = parts(GOOD)
    return sealed(prefix, header, body)


def with_prefix(place: int, value: object) -> bytes:
    prefix, header, body = parts(GOOD)
    prefix[place] = value
    return sealed(prefix, header, body)


def with_hidden(value: float) -> bytes:
    message = head_up()
    hidden = decode(message.tensors["hidden"])
    hidden[2, 3, 4] = value
    tensors = {**message.tensors, "hidden": encode(hidden, "fp32")}
    return frame_of(Message(Kind.ACTIVATIONS, phase=Phase.HEAD_UP, tensors=tensors))


def set_in(*path: Any, value: Any) -> Callable[[dict[str, Any]], object]:
    def change(header: dict[str, Any]) -> None:
        target: Any = header
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = value

    return change


def nested(depth: int) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for _ in range(depth):
        body = {"a": body}
    return body


HEADER = parts(GOOD)[1]
NAMED: dict[str, tuple[str, bytes]] = {
    "empty": ("CL-1303", b""),
    "one byte": ("CL-1303", b"C"),
    "half a prefix": ("CL-1303", GOOD[:20]),
    "prefix alone": ("CL-1303", GOOD[: PREFIX.size]),
    "one byte short": ("CL-1303", GOOD[:-1]),
    "one byte more": ("CL-1303", GOOD + b"\0"),
    "a web request": ("CL-1301", b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n" * 3),
    "a pickle": ("CL-1301", b"\x80\x04\x95" + b"\0" * 80),
    "a flipped bit in the body": ("CL-1303", GOOD[:-5] + bytes([GOOD[-5] ^ 1]) + GOOD[-4:]),
    "a newer version": ("CL-1302", with_prefix(1, frames.VERSION + 1)),
    "unknown frame type": ("CL-1307", with_prefix(2, 99)),
    "larger than allowed": ("CL-1304", GOOD + b"\0" * (1 << 20)),
    "length that claims 2^63 bytes": ("CL-1303", GOOD[:10] + b"\x7f" + GOOD[11:]),
    "header larger than allowed": ("CL-1304", with_raw_header(HEADER + b" " * SERVER.max_header_bytes)),
    "header is no JSON": ("CL-1301", with_raw_header(b"\xff\xfe{")),
    "header is empty": ("CL-1301", with_raw_header(b"")),
    "header is a list": ("CL-1301", with_raw_header(b"[]")),
    "header nests 5000 deep": ("CL-1301", with_raw_header(b"[" * 5000)),
    "header holds a number of 5000 digits": ("CL-1301", with_raw_header(b'{"ids":' + b"9" * 5000 + b"}")),
    "a field is missing": ("CL-1301", with_header(lambda header: header.pop("at"))),
    "a field too many": ("CL-1301", with_header(set_in("class", value="os.system"))),
    "body is no mapping": ("CL-1301", with_header(set_in("body", value=[1]))),
    "body nests too deep": ("CL-1301", with_header(set_in("body", value=nested(9)))),
    "body holds NaN": ("CL-1301", with_raw_header(HEADER.replace(b'"body":{}', b'"body":{"x":NaN}'))),
    "body holds 1e999": ("CL-1301", with_raw_header(HEADER.replace(b'"body":{}', b'"body":{"x":1e999}'))),
    "body holds half a character": (
        "CL-1301",
        with_raw_header(HEADER.replace(b'"body":{}', b'"body":{"x":"\\ud800"}')),
    ),
    "another run": ("CL-1305", with_header(set_in("ids", 0, value="run-2"))),
    "another participant": ("CL-1305", with_header(set_in("ids", 1, value="Bank"))),
    "an older attempt": ("CL-1306", with_header(set_in("ids", 2, value=2))),
    "a newer attempt": ("CL-1305", with_header(set_in("ids", 2, value=4))),
    "attempt is a boolean": ("CL-1301", with_header(set_in("ids", 2, value=True))),
    "ids is a number": ("CL-1301", with_header(set_in("ids", value=5))),
    "unknown kind": ("CL-1307", with_header(set_in("kind", value="exec"))),
    "kind is a list": ("CL-1307", with_header(set_in("kind", value=["hello"]))),
    "a kind of the other direction": ("CL-1307", with_header(set_in("kind", value="aggregate"))),
    "a phase of the other direction": ("CL-1307", with_header(set_in("at", 2, value="body_down"))),
    "negative step": ("CL-1301", with_header(set_in("at", 0, value=-1))),
    "step beyond 2^40": ("CL-1301", with_header(set_in("at", 0, value=1 << 60))),
    "step is a float": ("CL-1301", with_header(set_in("at", 0, value=1.0))),
    "evaluation is a number": ("CL-1301", with_header(set_in("at", 3, value=1))),
    "tensor entry too short": ("CL-1301", with_header(lambda header: header["tensors"][0].pop())),
    "unknown tensor name": ("CL-1309", with_header(set_in("tensors", 0, 0, value="weights"))),
    "tensor name is a list": ("CL-1309", with_header(set_in("tensors", 0, 0, value=["hidden"]))),
    "tensor twice": ("CL-1309", with_header(lambda header: header["tensors"].append(header["tensors"][0]))),
    "tensor missing": ("CL-1309", with_header(lambda header: header["tensors"].pop())),
    "unknown codec": ("CL-1308", with_header(set_in("tensors", 0, 1, value="pickle"))),
    "a codec that was not agreed": ("CL-1308", with_header(set_in("tensors", 0, 1, value="bf16"))),
    "one dimension less": ("CL-1309", with_header(set_in("tensors", 0, 2, value=[ROWS * LENGTH, WIDTH]))),
    "dimensions swapped": ("CL-1309", with_header(set_in("tensors", 0, 2, value=[ROWS, WIDTH, LENGTH]))),
    "a dimension of zero": ("CL-1309", with_header(set_in("tensors", 0, 2, value=[0, LENGTH, WIDTH]))),
    "a negative dimension": ("CL-1309", with_header(set_in("tensors", 0, 2, value=[-1, LENGTH, WIDTH]))),
    "a dimension of 2^62": ("CL-1309", with_header(set_in("tensors", 0, 2, value=[1 << 62, LENGTH, WIDTH]))),
    "fewer rows than bytes": ("CL-1310", with_header(set_in("tensors", 0, 2, value=[1, LENGTH, WIDTH]))),
    "buffer sizes that lie": ("CL-1310", with_header(set_in("tensors", 0, 3, value=[8]))),
    "buffer sizes that are floats": (
        "CL-1310",
        with_header(set_in("tensors", 0, 3, value=[float(ROWS * LENGTH * WIDTH * 4)])),
    ),
    "body shorter than its tensors": ("CL-1310", sealed(*parts(GOOD)[:2], parts(GOOD)[2][:-4])),
    "NaN": ("CL-1311", with_hidden(float("nan"))),
    "infinity": ("CL-1311", with_hidden(float("inf"))),
    "minus infinity": ("CL-1311", with_hidden(float("-inf"))),
    "1e38": ("CL-1311", with_hidden(1e38)),
    "a mask of 2": ("CL-1311", sealed(*parts(GOOD)[:2], parts(GOOD)[2][:-1] + b"\x02")),
}


@pytest.mark.promise(17, figure="40 named frames")
@pytest.mark.parametrize("name", NAMED)
def test_named_bad_frame_is_refused_with_its_code(name: str) -> None:
    code, data = NAMED[name]
    with pytest.raises(FrameError) as caught:
        read(data)
    assert caught.value.code == code


def test_a_message_survives_the_wire_unchanged() -> None:
    sent = Message(
        Kind.ADAPTER_GRADIENTS,
        step=7,
        micro=2,
        evaluation=True,
        body={"fault": {"number": 0.1, "note": "é", "list": [1, None, {"x": True}]}},
        tensors={
            name: encode(torch.randn(shape), "fp32")
            for name, shape in (("layers.0.q.lora_A", (4, 16)), ("layers.0.q.lora_B", (16, 4)))
        },
    )
    got = read(frame_of(sent))
    assert (got.kind, got.step, got.micro, got.phase, got.evaluation, got.session) == (sent.kind, 7, 2, "", True, IDS)
    assert got.body == sent.body
    assert all(torch.equal(decode(got.tensors[name]), decode(sent.tensors[name])) for name in sent.tensors)


def test_labels_are_bounded_by_the_vocabulary_and_only_taken_where_agreed() -> None:
    message = head_up()
    for value, bounds, code in (
        (99, limits("server", labels=True), None),
        (100, limits("server", labels=True), "CL-1311"),
        (5, SERVER, "CL-1309"),
    ):
        labels = torch.full((ROWS, LENGTH), value)
        data = frame_of(
            Message(message.kind, phase=message.phase, tensors={**message.tensors, "labels": encode(labels, "i64")})
        )
        if code is None:
            assert read(data, bounds).tensors["labels"].shape == (ROWS, LENGTH)
            continue
        with pytest.raises(FrameError, match=code):
            read(data, bounds)


def test_a_field_that_no_flow_declares_is_refused() -> None:
    with pytest.raises(FrameError, match="CL-1307"):
        read(frame_of(Message(Kind.STEP_BEGIN, body={"tokens": 3, "text": "a row"})))


@pytest.mark.parametrize("kind", [Kind.WELCOME, Kind.LOSS, Kind.AGGREGATE, Kind.NORMS, Kind.ADAPTER_WEIGHTS])
def test_a_message_of_no_flow_of_this_run_is_refused(kind: Kind) -> None:
    with pytest.raises(FrameError, match="CL-1307"):
        read(frame_of(Message(kind)))


def test_a_message_too_large_for_the_contract_is_not_even_sent() -> None:
    with pytest.raises(FrameError, match="CL-1304"):
        frames.encode(Message(Kind.BYE, session=IDS, body={"x": "y" * 2000}), 1, max_frame_bytes=1000)


def test_not_a_number_in_a_body_is_refused_by_the_sender() -> None:
    with pytest.raises(FrameError, match="CL-1311"):
        frame_of(Message(Kind.LOSS, body={"loss": float("nan")}))


def mutated(dice: random.Random, data: bytes) -> bytes:
    """One of the ways in which bytes go wrong; two in three keep lengths and checksum right, to reach deeper."""
    prefix, header, body = parts(data)
    way = dice.randrange(6)
    if way == 0:
        changed = bytearray(data)
        for _ in range(dice.randint(1, 8)):
            changed[dice.randrange(len(changed))] = dice.randrange(256)
        return bytes(changed[: dice.randint(0, len(changed))] if dice.random() < 0.3 else changed)
    if way == 1:
        return data[: dice.randrange(len(data))] + dice.randbytes(dice.randrange(64))
    text = bytearray(header)
    if way == 2:
        for _ in range(dice.randint(1, 4)):
            text[dice.randrange(len(text))] = dice.randrange(256)
    elif way == 3:
        start = dice.randrange(len(text))
        text[start : start + dice.randint(0, 12)] = dice.choice(FRAGMENTS)
    elif way == 4:
        digits = [place for place, byte in enumerate(text) if 48 <= byte <= 57]
        place = dice.choice(digits)
        text[place : place + 1] = dice.choice((b"-1", b"99999999999999999999", b"1e9", b"0", b"true", b"null", b"[]"))
    else:
        body = dice.randbytes(len(body)) if dice.random() < 0.5 else body[: dice.randrange(len(body) + 1)]
        prefix[dice.choice((1, 2))] = dice.randrange(256)
    return sealed(prefix, bytes(text), body)


FRAGMENTS = (
    b'"',
    b"{",
    b"}",
    b"[[[[",
    b"\\ud800",
    b"NaN",
    b"1e999",
    b"\x00",
    b'"__class__":1,',
    b"\xc3\x28",
    b":",
    b",",
)


@pytest.mark.promise(15, figure="100,000 frames, 0 stray exceptions")
def test_a_hundred_thousand_mutated_frames_give_frame_errors_and_nothing_else() -> None:
    dice = random.Random(15)
    small = [frame_of(Message(Kind.STEP_BEGIN, body={"tokens": 5})), frame_of(head_up(rows=1, length=2))]
    refused = 0
    for number in range(100_000):
        try:
            read(mutated(dice, small[number % 2]))
        except FrameError:
            refused += 1
    assert refused > 90_000


def allocated_by(data: bytes, bounds: FrameLimits) -> int:
    """Bytes that refusing a frame takes at most: the least of three, since the test runner's threads allocate too."""
    peaks = []
    for _ in range(3):
        tracemalloc.start()
        try:
            with contextlib.suppress(FrameError):
                read(data, bounds)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return min(peaks)


@pytest.mark.promise(15, figure="at most 1 frame allocated")
def test_no_mutated_frame_makes_the_reader_allocate_more_than_a_frame() -> None:
    dice = random.Random(16)
    for _ in range(2_000):
        assert allocated_by(mutated(dice, GOOD), SERVER) <= SERVER.max_frame_bytes


def test_refusing_a_frame_takes_less_memory_than_the_frame() -> None:
    big = limits("server")
    message = Message(Kind.ACTIVATIONS, phase=Phase.HEAD_UP, tensors={"hidden": encode(torch.zeros(1 << 22), "int8")})
    data = frame_of(message)
    for bounds in (big, replace(big, max_frame_bytes=1 << 30)):
        with pytest.raises(FrameError):
            read(data, bounds)
        assert allocated_by(data, bounds) < len(data) / 4
