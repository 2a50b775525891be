"""Recompute instead of hold: a decoder layer keeps its input alone, and runs again when its gradient comes.

The technique is Chen et al., *Training Deep Nets with Sublinear Memory Cost* (arXiv 1604.06174); at the server half it
is what Menos does between a client's forward and its backward. The library's own switch works in training mode only, in
which a frozen base computes otherwise; and a slot's port and the draws of dropout are as they were the first time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from splitcore.models.slots import Port, Slot

_M_MMAP_THRESHOLD = -3  # glibc's malloc.h
LARGE = 1 << 17  # bytes, glibc's own first threshold
DRAWING = Lock()  # the generator is global; where several halves live in one process, one draws at a time


def return_large_blocks() -> None:
    """Have every large tensor on the CPU mapped by itself, so that its memory goes back when it is freed.

    glibc raises the size from which it does so with the sizes that it sees; what is held then pins what was freed
    around it, and the process stays nearly as large as if all were held. Elsewhere than with glibc, does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE)


def recompute_layers(layers: nn.ModuleList, *, draws: bool, port: Port | None = None) -> None:
    """Make every layer (slots aside) recompute; results and gradients are the same bits. Without gradients, no change.

    `draws`: whether a layer draws random numbers (dropout). `port`: the segment's, where hidden states enter and leave.
    """
    for layer in layers:
        if not isinstance(layer, Slot):
            _recompute(layer, draws, port)


def _recompute(layer: nn.Module, draws: bool, port: Port | None) -> None:
    stock = type(layer)

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return stock.forward(self, *args, **kwargs)
        device = next(self.parameters()).device
        again = _Again(lambda: stock.forward(self, *args, **kwargs), device if draws else None, port)
        return checkpoint(again, use_reentrant=False, preserve_rng_state=False)

    layer.__class__ = type(stock.__name__, (stock,), {"forward": forward, "__module__": stock.__module__})


class _Again:
    """A forward that can be run a second time as if it were the first."""

    def __init__(self, run: Callable[[], Any], draws_on: torch.device | None, port: Port | None) -> None:
        self._run, self._device, self._port = run, draws_on, port
        self._injected_BLD = None if port is None else port.injected_BLD
        self._drawn = None if draws_on is None else _generator_states(draws_on)
        self._first = True

    def __call__(self) -> Any:
        """The layer's output."""
        if self._first:
            self._first = False
            return self._run()
        with self._port_as_it_was(), self._draws_as_they_were():
            return self._run()

    @contextmanager
    def _port_as_it_was(self) -> Iterator[None]:
        port = self._port
        if port is None:
            yield
            return
        now = port.injected_BLD, port.tapped_BLD
        port.injected_BLD = self._injected_BLD
        try:
            yield
        finally:
            port.injected_BLD, port.tapped_BLD = now

    @contextmanager
    def _draws_as_they_were(self) -> Iterator[None]:
        if self._device is None or self._drawn is None:
            yield
            return
        cuda = [self._device] if self._device.type == "cuda" else []
        with DRAWING, torch.random.fork_rng(devices=cuda):
            torch.set_rng_state(self._drawn[0])
            for device, state in zip(cuda, self._drawn[1:], strict=True):
                torch.cuda.set_rng_state(state, device)
            yield


def _generator_states(device: torch.device) -> list[torch.Tensor]:
    """State of the CPU's generator, then of the device's where it has one of its own."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]
