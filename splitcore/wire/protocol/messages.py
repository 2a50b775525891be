"""The messages that two halves of a run exchange: kinds, ids, encoded tensors. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from splitcore.codecs.payload import Payload
from splitcore.errors import AppError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class Kind(StrEnum):
    """What a message is for; the comment names its direction, body and tensors. What a run's messages may carry, and
    who learns what from them, is declared in `splitcore/flows`."""

    HELLO = "hello"  # client → server, first: {version, ...}
    WELCOME = "welcome"  # server → client, the answer
    MASK_KEYS = "mask_keys"  # up: {keys}, this client's public key and signature; down: those of all, in their order
    STEP_BEGIN = "step_begin"  # client → server: {tokens: target tokens of this step}
    STEP_TOTAL = "step_total"  # server → client: {tokens: of all clients}, the common loss denominator
    ACTIVATIONS = "activations"  # HEAD_UP {hidden, mask[, labels][, rows][, changes, check]}, BODY_DOWN {hidden, ...}
    GRADIENTS = "gradients"  # TAIL_UP {hidden}, BODY_GRAD_DOWN {hidden}
    LOSS = "loss"  # server → client in vanilla: {loss}, in an evaluation {next} too
    ADAPTER_GRADIENTS = "adapter_gradients"  # client → server: one tensor per adapter parameter
    NORMS = "norms"  # client → server: {norms}, one fp32 norm per adapter parameter
    AGGREGATE = "aggregate"  # server → client: {norm} of the whole gradient, and the summed adapter gradients
    ADAPTER_WEIGHTS = "adapter_weights"  # both ways: one tensor per adapter parameter
    SEALED_ADAPTER = "sealed_adapter"  # up: {to: a client}, weights and moments that it alone can read; down: the same
    STEP_DONE = "step_done"  # up: this party sits the step out; down, to such a party: it is complete {norm}
    CONTROL = "control"  # both ways: {action: stop}
    BYE = "bye"  # client → server: every step is done (an error is `Channel.abort`, no message)


class Phase(StrEnum):
    """The crossing of the cut that a tensor message belongs to."""

    NONE = ""
    HEAD_UP = "head_up"
    BODY_DOWN = "body_down"
    TAIL_UP = "tail_up"
    BODY_GRAD_DOWN = "body_grad_down"


@dataclass(frozen=True)
class SessionIds:
    """Which conversation a message belongs to; `participant` is the data party at its client end."""

    run: str
    participant: str
    attempt: int = 1


@dataclass(frozen=True, eq=False)
class Message:
    """One message. Leave `session` empty when sending: the channel fills its own ids in."""

    kind: Kind
    step: int = 0
    micro: int = 0
    phase: Phase = Phase.NONE
    evaluation: bool = False
    body: Mapping[str, Json] = field(default_factory=dict)
    tensors: Mapping[str, Payload] = field(default_factory=dict)
    session: SessionIds | None = None

    @property
    def label(self) -> str:
        """What it is, for whoever counts: `activations:head_up`."""
        return f"{self.kind}:{self.phase}" if self.phase else str(self.kind)

    @property
    def nbytes(self) -> int:
        """Bytes of all its encoded tensors."""
        return sum(payload.nbytes for payload in self.tensors.values())


class FrameError(AppError):
    """Bytes or a message that break the format or the contract; nothing of them was used."""


class ChannelError(AppError):
    """The connection between the halves cannot be made, was lost, closed, or did not answer in time."""


class PeerError(AppError):
    """The other half reported that it stopped; `code` is the one that it gave."""
