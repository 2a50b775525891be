"""Whoever reads along at one end of a conversation: every frame as it went over the wire, and nothing else."""

from __future__ import annotations

from typing import Protocol

from splitcore.codecs.payload import Buffer


class Tap(Protocol):
    """Called from several threads, once per frame; keep it cheap. What it raises ends the conversation."""

    def frame(self, frame: Buffer, *, sent: bool) -> None:
        """A frame that this end sent to the transport, or that arrived from it."""
