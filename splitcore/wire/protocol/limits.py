"""What a connection may carry: the contract's limits, against which every frame is checked before a tensor is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import TypeAlias

from splitcore.codecs.registry import payload_bytes
from splitcore.wire.protocol.declared import Carried, Content, Side, Tensor, merged
from splitcore.wire.protocol.messages import FrameError, Kind, Message, Phase, SessionIds

Dimension: TypeAlias = "int | tuple[int, int]"  # exact, or (least, most)
Rules: TypeAlias = "dict[tuple[Kind, Phase], MessageRule]"
BASE_HEADER = 16_384  # ids, body
TENSOR_HEADER = 128  # codec, shape and sizes of one tensor, beside its name
FRAME_OVERHEAD = 64  # the prefix, rounded up
ABS_MAX = 1e9  # of a value; residual streams of real models reach some 1e5 to 1e6
SEAL_BYTES = 16  # by which an encrypted message is longer
MASK_KEY_BYTES = 96  # a public key of 32 bytes and a signature of 64
MAX_ROW = (1 << 31) - 1  # largest number of a row


@dataclass(frozen=True)
class TensorRule:
    """The allowed form of one named tensor; `low` and `high` bound integers, `high` the magnitude of floats."""

    codecs: frozenset[str]
    shape: tuple[Dimension, ...]
    low: float = 0.0
    high: float = 1e9
    required: bool = True

    @property
    def max_bytes(self) -> int:
        """Bytes of the largest tensor that the rule allows."""
        largest = [dim if isinstance(dim, int) else dim[1] for dim in self.shape]
        return max(payload_bytes(codec, largest) for codec in self.codecs)


@dataclass(frozen=True)
class MessageRule:
    """The tensors and the fields of the body that one kind of message (in one phase) may carry; no others."""

    tensors: Mapping[str, TensorRule] = field(default_factory=dict)
    fields: frozenset[str] = frozenset()

    @property
    def max_bytes(self) -> int:
        """Bytes of the largest message that the rule allows, header aside."""
        return sum(rule.max_bytes for rule in self.tensors.values())


@dataclass(frozen=True)
class Sizes:
    """What one conversation's tensors measure."""

    rows: int  # most of one micro-batch, training or evaluation
    length: int  # most tokens of a row
    width: int  # hidden size
    vocabulary: int  # number of tokens, the bound of labels
    parties: int = 1  # data parties of the run
    adapters: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # of head and tail: name and shape of each
    moments: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # of the optimiser of these, likewise


@dataclass(frozen=True)
class FrameLimits:
    """What one end accepts: the ids, the kinds with their tensors, and the size of a frame in either direction."""

    session: SessionIds
    rules: Mapping[tuple[Kind, Phase], MessageRule]
    max_frame_bytes: int
    max_header_bytes: int = BASE_HEADER
    max_step: int = 1 << 40
    max_micro: int = 1 << 20
    sends: Mapping[tuple[Kind, Phase], MessageRule] = field(default_factory=dict)  # what the other end accepts

    def check_sent(self, message: Message) -> None:
        """Nothing leaves that no flow declares, whatever this half's code does. Raises FrameError CL-1314."""
        rule = self.sends.get((message.kind, message.phase), MessageRule())
        sound = (message.kind, message.phase) in self.sends and rule.fields.issuperset(message.body)
        for name, payload in message.tensors.items():
            sound = sound and name in rule.tensors and payload.codec in rule.tensors[name].codecs
        if not sound:
            raise FrameError("CL-1314", details={"kind": str(message.kind), "phase": str(message.phase)})

    def for_session(self, session: SessionIds) -> FrameLimits:
        """The same limits for another attempt or participant."""
        return replace(self, session=session)


def session_limits(
    session: SessionIds,
    side: Side,
    carried: Mapping[Side, Iterable[Carried]],
    sizes: Sizes,
    *,
    abs_max: float = ABS_MAX,
) -> FrameLimits:
    """What `side` accepts from the other half of this run.

    Parameters
    ----------
    carried
        What each side may be sent, as the run's flows declare it: both, since one bound of size holds for both
        directions, so that each end refuses to send what the other would not take.
    sizes
        What the tensors measure.
    abs_max
        Largest magnitude of a value.
    """
    rules = {end: _rules(messages, sizes, abs_max) for end, messages in carried.items()}
    every = [rule for of_one in rules.values() for rule in of_one.values()]
    names = {name for rule in every for name in rule.tensors}
    header = BASE_HEADER + sum(len(name.encode()) + TENSOR_HEADER for name in names)
    largest = max(rule.max_bytes for rule in every)
    return FrameLimits(
        session,
        rules[side],
        max_frame_bytes=largest + header + FRAME_OVERHEAD,
        max_header_bytes=header,
        sends=rules["client" if side == "server" else "server"],
    )


def _rules(messages: Iterable[Carried], sizes: Sizes, abs_max: float) -> Rules:
    """A rule for each message that may come."""
    return {
        slot: MessageRule(dict(rule for tensor in one.tensors for rule in _tensor(tensor, sizes, abs_max)), one.fields)
        for slot, one in merged(messages).items()
    }


def _tensor(tensor: Tensor, sizes: Sizes, abs_max: float) -> Iterator[tuple[str, TensorRule]]:
    """The rule of a tensor; of adapters and moments one for each of them."""
    positions = ((1, sizes.rows), (1, sizes.length))
    shapes: Mapping[str, tuple[Dimension, ...]]
    low, high = 0.0, abs_max
    match tensor.content:
        case Content.PADDED:
            shapes = {tensor.name: (*positions, sizes.width)}
        case Content.PACKED:
            shapes = {tensor.name: ((1, sizes.rows * sizes.length), sizes.width)}
        case Content.MASK:
            shapes, high = {tensor.name: positions}, 1
        case Content.LABELS:
            shapes, low, high = {tensor.name: positions}, -100, sizes.vocabulary - 1
        case Content.ROW_NUMBERS:
            shapes, high = {tensor.name: positions[:1]}, MAX_ROW
        case Content.CHECKSUM:
            shapes, high = {tensor.name: (4,)}, 255
        case Content.NORMS:
            shapes = {tensor.name: ((0, len(sizes.adapters)),)}
        case Content.ENDS:
            shapes = sizes.adapters
        case Content.MOMENTS:
            shapes = sizes.moments
        case Content.MASKED_ENDS:
            shapes, low, high = sizes.adapters, -(1 << 63), (1 << 63) - 1
        case Content.SEALED:
            least = 4 * sum(map(prod, sizes.adapters.values())) + SEAL_BYTES
            most = least + 4 * sum(map(prod, sizes.moments.values()))
            shapes, high = {tensor.name: ((least, most),)}, 255
        case Content.MASK_KEYS:
            shapes, high = {tensor.name: ((1, sizes.parties), MASK_KEY_BYTES)}, 255
    for name, shape in shapes.items():
        yield name, TensorRule(frozenset({tensor.codec}), shape, low, high, tensor.is_required)
