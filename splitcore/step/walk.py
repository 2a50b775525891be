"""The path of one micro-batch through a split model, a few lines per topology.

A walk is a generator: each `yield` may send a tensor to the server, and resumes with the answer. `pipeline.py` decides
which walk resumes when; `ends.py` is what the client computes, `body.py` what the server does; what is done to a tensor
where it crosses is the boundary's (`splitcore/boundary`).

Shapes: B rows of a micro-batch, L tokens, D hidden.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch

from splitcore.boundary.stages import At
from splitcore.data.batches import Batch
from splitcore.step.ends import Ends
from splitcore.wire.protocol.messages import Kind, Phase

Answer = tuple[Kind, Phase]


@dataclass(frozen=True)
class Request:
    """What is sent, and which answer is awaited; either may be absent."""

    phase: Phase = Phase.NONE
    tensor_BLD: torch.Tensor | None = None
    answer: Answer | None = None


Walk = Generator[Request, Any, float]
"""Yields requests, takes their answers, returns the loss summed over the micro-batch's target tokens."""


def u_shape(batch: Batch, at: At, client: Ends) -> Walk:
    """Labels stay with the client, which has the first and the last layers."""
    head = client.head(batch, at)
    hidden_BLD = yield forward(head.output_BLD)
    loss, gradient_BLD = client.tail(batch, at, hidden_BLD)
    gradient_BLD = yield backward(gradient_BLD, is_answered=client.trains_head)
    client.head_backward(head, gradient_BLD)
    return loss


def vanilla(batch: Batch, at: At, client: Ends) -> Walk:
    """Labels go up with the hidden states: the server has the last layers, and computes the loss."""
    head = client.head(batch, at)
    loss: float = yield forward(head.output_BLD, answer=(Kind.LOSS, Phase.NONE))
    gradient_BLD = yield Request(answer=GRADIENT if client.trains_head else None)
    client.head_backward(head, gradient_BLD)
    return loss


HIDDEN: Answer = (Kind.ACTIVATIONS, Phase.BODY_DOWN)
GRADIENT: Answer = (Kind.GRADIENTS, Phase.BODY_GRAD_DOWN)


def forward(hidden_BLD: torch.Tensor, *, answer: Answer = HIDDEN) -> Request:
    """The server's forward pass on the hidden states."""
    return Request(Phase.HEAD_UP, hidden_BLD, answer)


def backward(gradient_BLD: torch.Tensor, *, is_answered: bool) -> Request:
    """The server's backward pass from the gradient of its output; the answer is the gradient of its input."""
    return Request(Phase.TAIL_UP, gradient_BLD, GRADIENT if is_answered else None)
