"""Messages to bytes and back. Decoding trusts nothing: whatever comes in, a valid message or a FrameError comes out.

A frame is a fixed prefix (magic, version, type, lengths, sequence, credit, checksum), a JSON header and the tensors'
raw buffers one after another; large tensors follow in frames of their own (see `parts`). Only DATA frames, and the MORE
frames that continue them, carry a message; the other types keep a connection in order (see `session`). The checksum is
the CRC-32 of the prefix before it, the header and the fold of the buffers; it finds damage, not malice: authenticity,
and damage on the network itself, are TLS's.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NoReturn

import numpy as np

from splitcore.codecs.payload import Buffer, Payload
from splitcore.codecs.registry import FORMATS
from splitcore.wire.protocol.limits import FrameLimits, MessageRule, TensorRule
from splitcore.wire.protocol.messages import FrameError, Json, Kind, Message, Phase, SessionIds
from splitcore.wire.protocol.parts import Arriving, Pending, in_parts, parts_of

MAGIC = b"CutL"
VERSION = 3
PREFIX = struct.Struct(">4sBBIQQQI")
FOLD = 4096  # bytes; one pass at the speed of memory, where a CRC of all bytes takes five times as long
MAX_DEPTH = 6
MAX_NUMBER = {bool: 1, int: 1 << 53, float: sys.float_info.max}  # every whole number up to 2^53 is a float too
MAX_NAME = 256


class FrameType(IntEnum):
    """What a frame does; all but DATA, MORE and ABORT are a bare prefix. DATA and MORE are numbered by `sequence`."""

    DATA = 1  # a message, or its beginning; `credit` of the other end's frames were taken by the application
    ACK = 2  # `sequence` arrived, `credit` were taken by the application
    RESEND = 3  # like ACK, and: what follows `sequence` is missing
    PROBE = 4  # `sequence` is the last that was sent: say what arrived
    FIN = 5  # nothing follows `sequence`
    ABORT = 6  # the sender stops; the header is an error code
    MORE = 7  # the next part of the message that the DATA frame before it began


@dataclass(frozen=True)
class Prefix:
    """The fixed part of a frame, checked against the bytes that follow it."""

    type: FrameType
    header_bytes: int
    buffer_bytes: int
    sequence: int
    credit: int


def encode_bare(type_: FrameType, sequence: int, credit: int = 0, header: bytes = b"") -> bytes:
    """A frame without a message."""
    return _assemble(type_, sequence, credit, header, [])


@dataclass(frozen=True)
class Encoded:
    """The frames of a message, each made when it is asked for; `nbytes` of all `count` of them together."""

    count: int
    nbytes: int
    frames: Iterator[bytes]


def encode(message: Message, sequence: int, *, max_frame_bytes: int, credit: int = 0, whole: bool = True) -> Encoded:
    """The frames of a message whose `session` is set, the first numbered `sequence`; copies each tensor once.

    Raises FrameError CL-1304 where the message as a whole is larger than `max_frame_bytes`, CL-1311.
    `whole`: whether checksums cover the tensors too, which a transport that proves every byte makes needless.
    """
    session = message.session
    if session is None:
        raise ValueError("a message needs its session ids before it can be encoded")
    header = {
        "ids": [session.run, session.participant, session.attempt],
        "kind": message.kind,
        "at": [message.step, message.micro, message.phase, message.evaluation],
        "body": dict(message.body),
        "tensors": [
            [name, payload.codec, list(payload.shape), _sizes(payload)] for name, payload in message.tensors.items()
        ],
    }
    try:
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        raise FrameError("CL-1311", "A number in a message is NaN or infinite.") from None
    total = PREFIX.size + len(text) + message.nbytes
    if total > max_frame_bytes:
        raise FrameError("CL-1304", details={"bytes": total, "allowed": max_frame_bytes, "kind": str(message.kind)})
    buffers: list[Buffer] = []
    parts: list[memoryview] = []
    for payload in message.tensors.values():
        if in_parts(payload.codec, payload.nbytes):
            parts += parts_of(payload)
        else:
            buffers += payload.buffers

    def made() -> Iterator[bytes]:
        yield _assemble(FrameType.DATA, sequence, credit, text, buffers, whole)
        for number, part in enumerate(parts, sequence + 1):
            yield _assemble(FrameType.MORE, number, 0, b"", [part], whole)

    return Encoded(1 + len(parts), total + PREFIX.size * len(parts), made())


def _sizes(payload: Payload) -> list[int]:
    """Bytes of each buffer of a payload's format."""
    if in_parts(payload.codec, payload.nbytes):
        return [payload.nbytes]
    return [memoryview(buffer).nbytes for buffer in payload.buffers]


def _assemble(
    type_: FrameType, sequence: int, credit: int, header: bytes, buffers: list[Buffer], whole: bool = True
) -> bytes:
    length = sum(memoryview(buffer).nbytes for buffer in buffers)
    prefix = PREFIX.pack(MAGIC, VERSION, type_, len(header), length, sequence, credit, 0)[:-4]
    proof = checksum(prefix, header, buffers if whole else [])
    return b"".join([prefix, proof.to_bytes(4, "big"), header, *buffers])


def checksum(prefix: Buffer, header: Buffer, buffers: Iterable[Buffer]) -> int:
    """CRC-32 of the prefix before it, the header, and the buffers folded to FOLD bytes by exclusive or.

    Every change of one byte, or of any run of at most FOLD bytes, changes it but for one case in 2³².
    """
    folded, at = np.zeros(FOLD, dtype=np.uint8), 0
    for buffer in buffers:
        values = np.frombuffer(buffer, dtype=np.uint8)
        while at % FOLD and len(values):
            part = values[: FOLD - at % FOLD]
            folded[at % FOLD : at % FOLD + len(part)] ^= part
            values, at = values[len(part) :], at + len(part)
        whole = len(values) // FOLD * FOLD
        if whole:
            folded ^= np.bitwise_xor.reduce(values[:whole].reshape(-1, FOLD), axis=0)
        folded[: len(values) - whole] ^= values[whole:]
        at += len(values)
    return zlib.crc32(folded[: min(at, FOLD)].tobytes(), zlib.crc32(header, zlib.crc32(prefix)))


def read_prefix(data: Buffer, max_frame_bytes: int, *, whole: bool = True) -> Prefix:
    """Check size, magic, lengths, checksum, version and type, in this order. Raises FrameError CL-1301 to 1304.

    `whole`: as in `encode`; both ends go by their transport.
    """
    view = memoryview(data)
    if view.nbytes > max_frame_bytes:
        raise FrameError("CL-1304", details={"bytes": view.nbytes, "allowed": max_frame_bytes})
    if view.nbytes < PREFIX.size:
        raise FrameError("CL-1303", details={"bytes": view.nbytes})
    magic, version, type_, header_bytes, buffer_bytes, sequence, credit, crc = PREFIX.unpack_from(view)
    if magic != MAGIC:
        raise FrameError("CL-1301")
    if view.nbytes != PREFIX.size + header_bytes + buffer_bytes:
        raise FrameError("CL-1303", details={"bytes": view.nbytes})
    header, body = view[PREFIX.size : PREFIX.size + header_bytes], view[PREFIX.size + header_bytes :]
    if crc != checksum(view[: PREFIX.size - 4], header, [body] if whole else []):
        raise FrameError("CL-1303")
    if version != VERSION:
        raise FrameError("CL-1302", details={"theirs": version, "ours": VERSION})
    if type_ not in FrameType.__members__.values():
        raise FrameError("CL-1307", details={"type": type_})
    return Prefix(FrameType(type_), header_bytes, buffer_bytes, sequence, credit)


def header_size(frame: bytes) -> int:
    """Bytes of the header of a frame that this end has made, beside its prefix."""
    return int.from_bytes(frame[6:10], "big")


def read_abort(prefix: Prefix, data: Buffer) -> str:
    """The error code of an ABORT frame, or an empty string where it holds none."""
    text = bytes(memoryview(data)[PREFIX.size : PREFIX.size + min(prefix.header_bytes, 16)])
    return text.decode("ascii", errors="replace")


def part_of(prefix: Prefix, data: Buffer) -> memoryview:
    """What a MORE frame brings, a view into `data`. Raises FrameError CL-1301."""
    if prefix.header_bytes:
        raise FrameError("CL-1301")
    return memoryview(data).toreadonly().cast("B")[PREFIX.size :]


def decode(prefix: Prefix, data: Buffer, limits: FrameLimits) -> Arriving:
    """The message that a DATA frame begins, most often complete; its payloads are views into `data`.

    Raises FrameError: CL-1301 malformed header, 1304 too large, 1305 and 1306 ids, 1307 kind or field not allowed,
    1308 codec, 1309 name or shape, 1310 buffer length, 1311 values.
    """
    if prefix.header_bytes > limits.max_header_bytes:
        raise FrameError("CL-1304", details={"header": prefix.header_bytes, "allowed": limits.max_header_bytes})
    view = memoryview(data).toreadonly().cast("B")
    header = _parse(view[PREFIX.size : PREFIX.size + prefix.header_bytes])
    session = _read_ids(header["ids"], limits.session)
    kind, step, micro, phase, evaluation = _read_place(header["kind"], header["at"], limits)
    rule = limits.rules.get((kind, phase))
    if rule is None:
        raise FrameError("CL-1307", details={"kind": str(kind), "phase": str(phase)})
    if not rule.fields.issuperset(header["body"]):
        raise FrameError("CL-1307", "A message has a field that no flow of this run declares.")
    whole, pending = _read_tensors(header["tensors"], view[PREFIX.size + prefix.header_bytes :], rule)
    message = Message(kind, step, micro, phase, evaluation, header["body"], whole, session)
    return Arriving(message, pending, prefix.header_bytes)


def _parse(text: memoryview) -> dict[str, Any]:
    """The header as a mapping with exactly its five fields, and a body of bounded depth."""
    try:
        header = json.loads(bytes(text).decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):  # not UTF-8, not JSON, or nested to exhaust the stack
        raise FrameError("CL-1301") from None
    if not isinstance(header, dict) or set(header) != {"ids", "kind", "at", "body", "tensors"}:
        raise FrameError("CL-1301")
    if not isinstance(header["body"], dict) or not isinstance(header["tensors"], list):
        raise FrameError("CL-1301")
    _check_json(header["body"], MAX_DEPTH)
    return header


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} isn't JSON")


def _check_json(value: Json, depth: int) -> None:
    """Refuse deep nesting, lone surrogates (they break whoever prints them) and numbers that a float cannot hold."""
    if depth < 0:
        raise FrameError("CL-1301")
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise FrameError("CL-1301")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_json(key, depth)
            _check_json(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            _check_json(item, depth - 1)
    elif isinstance(value, int | float) and not abs(value) <= MAX_NUMBER[type(value)]:  # 1e999 parses to infinity
        raise FrameError("CL-1301")


def _natural(value: Any, most: int) -> int:
    """A whole number in [0, most] that is not a boolean."""
    if type(value) is not int or not 0 <= value <= most:
        raise FrameError("CL-1301")
    return value


def _read_ids(value: Any, expected: SessionIds) -> SessionIds:
    if not isinstance(value, list) or len(value) != 3 or type(value[2]) is not int:
        raise FrameError("CL-1301")
    if value[0] != expected.run or value[1] != expected.participant:
        raise FrameError("CL-1305")
    if value[2] != expected.attempt:
        raise FrameError(
            "CL-1306" if value[2] < expected.attempt else "CL-1305", details={"expected": expected.attempt}
        )
    return expected


def _read_place(kind: Any, at: Any, limits: FrameLimits) -> tuple[Kind, int, int, Phase, bool]:
    if not isinstance(at, list) or len(at) != 4 or not isinstance(at[3], bool):
        raise FrameError("CL-1301")
    if not isinstance(kind, str) or not isinstance(at[2], str) or kind not in _KINDS or at[2] not in _PHASES:
        raise FrameError("CL-1307")
    return _KINDS[kind], _natural(at[0], limits.max_step), _natural(at[1], limits.max_micro), _PHASES[at[2]], at[3]


_KINDS = {str(kind): kind for kind in Kind}
_PHASES = {str(phase): phase for phase in Phase}


def _read_tensors(entries: list[Any], body: memoryview, rule: MessageRule) -> tuple[dict[str, Payload], list[Pending]]:
    """Check every entry against its rule first, then cut the body, then look at the values; and what is to follow."""
    described = [_read_entry(entry, rule.tensors) for entry in entries]
    names = [name for name, *_ in described]
    missing = {name for name, tensor in rule.tensors.items() if tensor.required} - set(names)
    if len(set(names)) != len(names) or missing:
        raise FrameError("CL-1309", details={"missing": sorted(missing)[:5]})
    if sum(sum(sizes) for _, codec, _, sizes in described if not in_parts(codec, sum(sizes))) != body.nbytes:
        raise FrameError("CL-1310")
    payloads, pending, start = {}, [], 0
    for name, codec, shape, sizes in described:
        if in_parts(codec, sum(sizes)):
            pending.append(Pending(name, codec, shape, rule.tensors[name]))
            continue
        buffers = []
        for size in sizes:
            buffers.append(body[start : start + size])
            start += size
        tensor = rule.tensors[name]
        if not FORMATS[codec].within(buffers, tensor.low, tensor.high):
            raise FrameError("CL-1311", details={"tensor": name})
        payloads[name] = Payload(codec, shape, tuple(buffers))
    return payloads, pending


def _read_entry(entry: Any, rules: Mapping[str, TensorRule]) -> tuple[str, str, tuple[int, ...], tuple[int, ...]]:
    """One tensor's name, codec, shape and buffer sizes, all as its rule has them."""
    if not isinstance(entry, list) or len(entry) != 4:
        raise FrameError("CL-1301")
    name, codec, shape, sizes = entry
    if not isinstance(name, str) or len(name) > MAX_NAME or name not in rules:
        raise FrameError("CL-1309", "A tensor's name isn't in the contract.")
    rule = rules[name]
    if not isinstance(codec, str) or codec not in rule.codecs or codec not in FORMATS:
        raise FrameError("CL-1308", details={"tensor": name})
    if not isinstance(shape, list) or len(shape) != len(rule.shape) or not isinstance(sizes, list):
        raise FrameError("CL-1309", details={"tensor": name})
    for size, allowed in zip(shape, rule.shape, strict=True):
        least, most = (allowed, allowed) if isinstance(allowed, int) else allowed
        if type(size) is not int or not least <= size <= most:
            raise FrameError("CL-1309", details={"tensor": name})
    expected = FORMATS[codec].sizes(shape)
    if tuple(sizes) != expected or any(type(size) is not int for size in sizes):
        raise FrameError("CL-1310", details={"tensor": name})
    return name, codec, tuple(shape), expected
