"""Signed requests: the headers, and the bytes that are signed."""

from __future__ import annotations

HEADER_PROTOCOL = "X-Cutlayer-Protocol"  # both ways: the newest version that this end reads; not signed, no secret
HEADER_WORKER = "X-Cutlayer-Worker"
HEADER_TIME = "X-Cutlayer-Time"  # seconds since the epoch, decimal
HEADER_NONCE = "X-Cutlayer-Nonce"  # 32 hex characters, never used twice
HEADER_SIGNATURE = "X-Cutlayer-Signature"  # base64 of the DER ECDSA-P256-SHA256 signature


def signing_input(method: str, path_and_query: str, timestamp: str, nonce: str, body_sha256: str) -> bytes:
    """The bytes that a worker signs with the key of its certificate, for HTTP requests and the socket's opening alike.

    For the socket the method is GET and the body is empty. A segment upload signs the file's SHA-256 as announced.
    """
    return "\n".join(["cutlayer-v1", method.upper(), path_and_query, timestamp, nonce, body_sha256]).encode()


def rotation_input(worker_id: str, present: str, next_: str) -> bytes:
    """The bytes that the holder of a worker's next key signs with it: fingerprints of the present one and the next."""
    return "\n".join(["cutlayer-rotate-v1", worker_id, present, next_]).encode()
