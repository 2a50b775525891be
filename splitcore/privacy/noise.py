"""Noise from a secret: a ChaCha20 stream, never a torch generator, which uses only 32 bits of its seed.

Each release has its own stream, whose key is derived from the secret and the released values. The same values thus
get the same noise, however often a run is killed or a frozen head is queried, and other values get other noise.
"""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20


class Noise:
    """The noise of one job."""

    def __init__(self, secret: bytes) -> None:
        """`secret`: 32 bytes."""
        self._secret = secret

    def normal(self, release: bytes, count: int) -> torch.Tensor:
        """Independent standard normal numbers (count,), fp32 on the CPU; the first ones do not depend on `count`."""
        uniform = self.uniform(b"gaussian noise\0", release, 2 * -(-count // 2))
        radius, angle = np.sqrt(-2.0 * np.log(uniform[0::2])), 2.0 * np.pi * uniform[1::2]
        values = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)  # Box and Muller, 1958
        return torch.from_numpy(values[:count].astype(np.float32))

    def gamma(self, release: bytes, count: int, *, shape: int) -> torch.Tensor:
        """Independent numbers (count,) of Gamma(shape, 1), fp32 on the CPU: each a sum of `shape` exponential ones.

        The stream is another one than that of `normal`. The first numbers do not depend on `count`.
        """
        uniform = self.uniform(b"gamma noise\0", release, count * shape)
        return torch.from_numpy(-np.log(uniform).reshape(count, shape).sum(axis=1).astype(np.float32))

    def uniform(self, use: bytes, release: bytes, count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Independent numbers of (0, 1], whose logarithm is finite. Each use has a stream of its own."""
        key = hmac.new(self._secret, use + hashlib.sha256(release).digest(), hashlib.sha256).digest()
        stream = Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(8 * count))
        # 53 bits of each word
        return ((np.frombuffer(stream, "<u8") >> np.uint64(11)) + np.uint64(1)).astype(np.float64) * 2.0**-53
