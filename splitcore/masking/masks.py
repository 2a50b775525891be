"""What a data party adds to its numbers so that only their sum over the parties can be read (torch).

y_p = x_p + Σ_{q>p} G(s_pq) - Σ_{q<p} G(s_pq) modulo 2^64, in the contract's order: each mask is in two parties' numbers
with opposite signs, so the sum of all y_p is the sum of all x_p. G is a ChaCha20 stream, whose key is drawn from the
pair's secret of this attempt for one step and phase, and for what the server half has told before: where it has told
two parties different things, their masks do not cancel, and it reads nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from enum import StrEnum

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from splitcore.codecs.payload import Payload
from splitcore.wire.protocol.messages import Json

Tensors = dict[str, torch.Tensor]


class Round(StrEnum):
    """What is summed."""

    GRADIENTS = "gradients"
    WEIGHTS = "weights"


class Masks:
    """One data party's masks of one attempt."""

    def __init__(self, party: str, parties: Sequence[str], secrets: Mapping[str, bytes]) -> None:
        """`secrets`: other party → the secret that the two share, see `MaskKey.secrets`."""
        place = list(parties).index(party)
        self._pairs = [(secrets[other], at > place) for at, other in enumerate(parties) if at != place]
        self._last: dict[Round, int] = {}
        self._told = hashlib.sha256()

    @property
    def parties(self) -> int:
        """How many parties' numbers are summed."""
        return len(self._pairs) + 1

    def masked(self, fixed: Mapping[str, torch.Tensor], what: Round, step: int, normaliser: int) -> Tensors:
        """A party's numbers (int64) with its masks, all tensors in the order of their names.

        `normaliser`: what every party divides by in this step. Raises RuntimeError for a second call of one step: two
        different numbers under one mask would show their difference.
        """
        if step <= self._last.get(what, -1):
            raise RuntimeError("a mask would have been used twice")
        self._last[what] = step
        place = f"{what}\0{step}\0{normaliser}\0".encode() + self._told.digest()
        streams = [(_stream(secret, place), adds) for secret, adds in self._pairs]
        found: Tensors = {}
        for name in sorted(fixed):
            sums = fixed[name].numpy().reshape(-1).view(np.uint64).copy()
            for stream, adds in streams:
                mask = np.frombuffer(stream.update(bytes(8 * sums.size)), "<u8")
                if adds:
                    sums += mask
                else:
                    sums -= mask
            found[name] = torch.from_numpy(sums.view(np.int64)).reshape(fixed[name].shape)
        return found

    def note(self, tensors: Mapping[str, Payload], said: Mapping[str, Json]) -> None:
        """What the server half has told every party: masks from now on cancel only among those that were told it.

        `said`: what it told beside tensors, as far as every party is told the same.
        """
        self._told.update(hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest())
        for name in sorted(tensors):
            for buffer in tensors[name].buffers:
                self._told.update(buffer)


def _stream(secret: bytes, place: bytes) -> CipherContext:
    return Cipher(ChaCha20(hmac.digest(secret, b"mask\0" + place, "sha256"), bytes(16)), mode=None).encryptor()
