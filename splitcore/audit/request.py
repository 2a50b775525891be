"""What an attacker's process is given, and what it answers: files of a folder of its own. Torch-free.

It holds public facts, frames, and what the observer is assumed to know. No text and no token of an attacked row.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from splitcore.audit.portfolio import Chosen
from splitcore.fields import FULL, Section

RECORDING, REQUEST, ANSWERS = "conversation.frames", "request.json", "answers.jsonl"


class Request(Section):
    """One observer's task.

    config: a RunConfig. parties: all of the run's. known: crossing → its token ids. seeds: of each repetition.
    """

    config: dict[str, Any]
    party: str
    parties: list[str]
    auxiliary: list[list[int]]
    known: dict[int, list[int]] = Field(default_factory=dict)
    attacks: list[Chosen]
    seeds: list[int] = Field(min_length=1)

    def write(self, folder: Path) -> None:
        """Into the attacker's folder."""
        text = self.model_dump_json(context=FULL)
        (folder / REQUEST).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Request:
        """From the attacker's folder."""
        return cls.model_validate_json((folder / REQUEST).read_bytes())


class Answer(Section):
    """What one attack guessed: token ids of each crossing. attack: its place in the request's list.

    outcome: not_run where the observer lacks what the attack needs, or it doesn't fit the run; `reason` says which.
    """

    attack: int
    seed: int
    outcome: Literal["ran", "not_run", "failed"]
    reason: str = ""
    guesses: list[list[int]] = []
    seconds: float = 0.0
