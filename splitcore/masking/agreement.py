"""How two data parties come to a secret that the server half, which carries their messages, does not get (torch-free).

Each process draws an X25519 key for its attempt, keeps it in memory alone, and signs the public part with its worker's
TLS key. The contract has the fingerprint of that key's certificate, so nobody in between can put a key of its own in
its place. What is signed names the run, its contract and the attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from splitcore.errors import AppError
from splitcore.wire.transport.certificates import signature_holds

PUBLIC_BYTES = 32
_LABEL = b"cutlayer masked sums 1\0"


@dataclass(frozen=True)
class Signatory:
    """What a data party signs with, and what it holds the others' signatures against."""

    sign: Callable[[bytes], bytes]
    certificates: Mapping[str, str]  # data party → PEM with the contract's fingerprint


class MaskKey:
    """One data party's key of one attempt."""

    def __init__(self, party: str, parties: Sequence[str], *, context: bytes) -> None:
        """`context`: what run and attempt it is for, the same at every party."""
        self._party, self._parties, self._context = party, list(parties), context
        self._key = X25519PrivateKey.generate()

    def signed(self, signatory: Signatory) -> bytes:
        """The public part with its signature, `MASK_KEY_BYTES` long."""
        public = self._key.public_key().public_bytes_raw()
        return public + signatory.sign(self._text(self._party, public))

    def secrets(self, keys: Mapping[str, bytes], signatory: Signatory) -> dict[str, bytes]:
        """The secret with each other party, 32 bytes. `keys`: party → what its `signed` returned.

        Raises AppError CL-1538 for a key that its party's certificate has not signed.
        """
        own = self._key.public_key().public_bytes_raw()
        if keys.get(self._party, b"")[:PUBLIC_BYTES] != own or keys.keys() != set(self._parties):
            raise AppError("CL-1538", details={"party": self._party})
        found: dict[str, bytes] = {}
        for party in (name for name in self._parties if name != self._party):
            public, signature = keys[party][:PUBLIC_BYTES], keys[party][PUBLIC_BYTES:]
            if not signature_holds(signatory.certificates[party], self._text(party, public), signature):
                sentence = f"The mask key of '{party}' isn't signed by its worker."
                raise AppError("CL-1538", sentence, details={"party": party})
            found[party] = self._secret(party, own, public)
        return found

    def _secret(self, party: str, own: bytes, public: bytes) -> bytes:
        try:
            shared = self._key.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:  # a point of low order, which no key pair has
            raise AppError("CL-1538", details={"party": party}) from None
        first, second = sorted([(self._parties.index(self._party), own), (self._parties.index(party), public)])
        info = _LABEL + self._context + b"".join(bytes([place]) + key for place, key in (first, second))
        return HKDF(hashes.SHA256(), 32, salt=None, info=info).derive(shared)

    def _text(self, party: str, public: bytes) -> bytes:
        """What a party signs."""
        return _LABEL + self._context + bytes([self._parties.index(party)]) + public
