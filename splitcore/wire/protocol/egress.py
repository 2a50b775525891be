"""What a site is told of the frames that leave it: asked before a message is queued, told of each frame that goes."""

from __future__ import annotations

from typing import Protocol


class Egress(Protocol):
    """One conversation's account at the site's ledger. Called from several threads; keep it cheap."""

    def admit(self, nbytes: int) -> None:
        """A message of so many bytes is about to be queued. Raises AppError where the site does not allow it."""

    def leaves(self, label: str, frame: bytes, header_bytes: int) -> None:
        """A frame goes to the transport: `label` says what it is, `header_bytes` are prefix and header.

        Raises AppError where the site does not allow a frame that was sent before to go once more.
        """
