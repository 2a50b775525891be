"""What a connection may carry: the contract's limits, against which every frame is checked before a tensor is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from splitcore.wire.formats import payload_bytes
from splitcore.wire.messages import Kind, Phase, SessionIds

Dimension: TypeAlias = "int | tuple[int, int]"  # exact, or (least, most)
Side = Literal["client", "server"]
Rules: TypeAlias = "dict[tuple[Kind, Phase], MessageRule]"
BASE_HEADER = 16_384  # ids, body
TENSOR_HEADER = 128  # codec, shape and sizes of one tensor, beside its name
FRAME_OVERHEAD = 64  # the prefix, rounded up
ABS_MAX = 1e9  # of a value; residual streams of real models reach some 1e5 to 1e6
MAX_ROW = (1 << 31) - 1  # largest number of a row
_BARE = (Kind.STEP_BEGIN, Kind.STEP_DONE, Kind.CHECKPOINT, Kind.CONTROL, Kind.BYE)


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
    """The tensors that one kind of message (in one phase) may carry; no others."""

    tensors: Mapping[str, TensorRule] = field(default_factory=dict)

    @property
    def max_bytes(self) -> int:
        """Bytes of the largest message that the rule allows, header aside."""
        return sum(rule.max_bytes for rule in self.tensors.values())


@dataclass(frozen=True)
class FrameLimits:
    """What one end accepts: the ids, the kinds with their tensors, and the size of a frame in either direction."""

    session: SessionIds
    rules: Mapping[tuple[Kind, Phase], MessageRule]
    max_frame_bytes: int
    max_header_bytes: int = BASE_HEADER
    max_step: int = 1 << 40
    max_micro: int = 1 << 20

    def for_session(self, session: SessionIds) -> FrameLimits:
        """The same limits for another attempt or participant."""
        return replace(self, session=session)


def session_limits(
    session: SessionIds,
    side: Side,
    *,
    rows: int,
    length: int,
    width: int,
    vocabulary: int,
    adapters: Mapping[str, tuple[int, ...]],
    activations: str = "bf16",
    gradients: str = "bf16",
    labels: bool = False,
    padding: bool = True,
    changes: str | None = None,
    kept: bool = False,
    abs_max: float = ABS_MAX,
) -> FrameLimits:
    """What `side` accepts from the other half of this run.

    Parameters
    ----------
    rows, length, width
        Most rows of one micro-batch (training or evaluation), most tokens of a row, hidden size.
    vocabulary
        Number of tokens, the bound of labels.
    adapters
        Name and shape of each head and tail adapter parameter of this client; empty when they are not exchanged.
    activations, gradients
        The codec of each.
    labels
        Whether labels go to the server (vanilla topology).
    padding
        Whether hidden states and gradients come with their padding (B, L, D), or as real tokens alone (N, D).
    changes
        The codec of activations' changes since a row's last visit, where they are sent; then each row may come so.
    kept
        Whether the server keeps what it received of a row, so that hidden states and mask may be missing.
    abs_max
        Largest magnitude of a value.
    """
    tokens = ((1, rows), (1, length))
    hidden: tuple[Dimension, ...] = (*tokens, width) if padding else ((1, rows * length), width)
    acts = TensorRule(frozenset({activations}), hidden, high=abs_max)
    grads = TensorRule(frozenset({gradients}), hidden, high=abs_max)
    weights = {name: TensorRule(frozenset({"fp32"}), shape, high=abs_max) for name, shape in adapters.items()}
    norms = {"norms": TensorRule(frozenset({"fp32"}), ((1, max(1, len(adapters))),), high=abs_max)}
    remembers = changes is not None or kept
    optional = replace(acts, required=False) if remembers else acts
    up = {"hidden": optional, "mask": TensorRule(frozenset({"u8"}), tokens, high=1, required=not kept)}
    down = {"hidden": optional}
    if remembers:
        up["rows"] = TensorRule(frozenset({"i64"}), tokens[:1], low=0, high=MAX_ROW, required=False)
    if changes is not None:
        change = {
            "changes": TensorRule(frozenset({changes}), hidden, high=abs_max, required=False),
            "check": TensorRule(frozenset({"u8"}), (4,), high=255, required=False),
        }
        down |= change
        if not kept:
            up |= change
    if labels:
        up["labels"] = TensorRule(frozenset({"i64"}), tokens, low=-100, high=vocabulary - 1)
    both: Rules = {(kind, Phase.NONE): MessageRule() for kind in _BARE}
    both |= {(Kind.NORMS, Phase.NONE): MessageRule(norms), (Kind.ADAPTER_WEIGHTS, Phase.NONE): MessageRule(weights)}
    server: Rules = {
        (Kind.HELLO, Phase.NONE): MessageRule(),
        (Kind.ACTIVATIONS, Phase.HEAD_UP): MessageRule(up),
        (Kind.GRADIENTS, Phase.TAIL_UP): MessageRule({"hidden": grads}),
        (Kind.ADAPTER_GRADIENTS, Phase.NONE): MessageRule(weights),
    }
    client: Rules = {(kind, Phase.NONE): MessageRule() for kind in (Kind.WELCOME, Kind.STEP_TOTAL, Kind.LOSS)} | {
        (Kind.ACTIVATIONS, Phase.BODY_DOWN): MessageRule(down),
        (Kind.GRADIENTS, Phase.BODY_GRAD_DOWN): MessageRule({"hidden": grads}),
        (Kind.AGGREGATE, Phase.NONE): MessageRule(weights),
    }
    header = BASE_HEADER + sum(len(name.encode()) + TENSOR_HEADER for name in {*weights, *up})
    largest = max(rule.max_bytes for rule in [*server.values(), *client.values(), *both.values()])
    return FrameLimits(
        session,
        both | (server if side == "server" else client),
        # one bound for both directions, since each end also refuses to send what the other would not take
        max_frame_bytes=largest + header + FRAME_OVERHEAD,
        max_header_bytes=header,
    )
