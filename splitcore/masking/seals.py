"""Adapters on their way from one data party to another, which the server half carries and cannot read (torch).

Each is encrypted and authenticated by ChaCha20-Poly1305 under a key of its own, drawn from the pair's secret of this
attempt for one sender, receiver and step.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

import numpy as np
import torch
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from splitcore.codecs.registry import FORMATS
from splitcore.errors import AppError
from splitcore.wire.protocol.limits import ABS_MAX

Tensors = dict[str, torch.Tensor]
Shapes = Mapping[str, tuple[int, ...]]


class Seals:
    """One data party's seals of one attempt."""

    def __init__(self, party: str, secrets: Mapping[str, bytes]) -> None:
        """`secrets`: other party → the secret that the two share, see `MaskKey.secrets`."""
        self._party, self._secrets = party, dict(secrets)
        self._last: dict[str, int] = {}

    def sealed(self, receiver: str, step: int, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Tensors in fp32, in the order of their names, as bytes (N,) of which `receiver` alone makes sense.

        Raises RuntimeError for a second call of one step: one key is for one message.
        """
        if step <= self._last.get(receiver, -1):
            raise RuntimeError("a key would have been used twice")
        self._last[receiver] = step
        plain = b"".join(
            tensors[name].detach().cpu().float().contiguous().numpy().tobytes() for name in sorted(tensors)
        )
        cipher = ChaCha20Poly1305(self._key(self._party, receiver, step)).encrypt(bytes(12), plain, None)
        return torch.from_numpy(np.frombuffer(cipher, np.uint8).copy())

    def opened(self, sender: str, step: int, sealed: torch.Tensor, weights: Shapes, moments: Shapes) -> Tensors:
        """What `sender` has sealed for this party in that step: its weights, and its moments where they are in it.

        Raises AppError CL-1539 where it is not that, or has a value that the wire would refuse, which looks at the
        encrypted bytes alone.
        """
        key = ChaCha20Poly1305(self._key(sender, self._party, step))
        try:
            plain = key.decrypt(bytes(12), sealed.numpy().tobytes(), None)
        except InvalidTag:
            raise AppError("CL-1539", details={"party": sender}) from None
        if len(plain) % 4 == 0 and not FORMATS["fp32"].within([plain], -ABS_MAX, ABS_MAX):
            message = f"The adapter that {sender} handed on has a value that is NaN, infinite or above {ABS_MAX:.0e}."
            raise AppError("CL-1539", message, f"Ask {sender} for the reason.", details={"party": sender})
        for shapes in (weights, {**weights, **moments}):
            if 4 * _numbers(shapes) == len(plain):
                return _read(plain, shapes)
        raise AppError("CL-1539", details={"party": sender})

    def _key(self, sender: str, receiver: str, step: int) -> bytes:
        secret = self._secrets[receiver if sender == self._party else sender]
        return hmac.digest(secret, f"seal\0{sender}\0{receiver}\0{step}".encode(), "sha256")


def _numbers(shapes: Shapes) -> int:
    return sum(int(np.prod(shape, dtype=np.int64)) for shape in shapes.values())


def _read(plain: bytes, shapes: Shapes) -> Tensors:
    found, start = {}, 0
    for name in sorted(shapes):
        count = _numbers({name: shapes[name]})
        values = np.frombuffer(plain, "<f4", count, start).copy()
        found[name], start = torch.from_numpy(values).reshape(shapes[name]), start + 4 * count
    return found
