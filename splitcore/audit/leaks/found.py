"""What a detector answers. Torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from splitcore.bounds import TEXT

Leak = Literal[
    "token_ids", "noise_law", "reused_noise", "batch_noise", "epoch_noise", "zero_rows", "lengths"
]  # fmt: skip

LEAKS: dict[Leak, str] = {
    "token_ids": "Token ids in the clear among the numbers",
    "noise_law": "Noise that is smaller or of another law than declared",
    "reused_noise": "The same noise in several rows",
    "batch_noise": "The same noise in all rows of a micro-batch",
    "epoch_noise": "A row released again with other noise",
    "zero_rows": "Vectors of zeros, which tell which tokens the loss counts",
    "lengths": "Row lengths other than the declared ones",
}


class LeakCheck(BaseModel):
    """Whether one leak is in a transcript. told: what was seen, or why it wasn't looked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    leak: Leak
    outcome: Literal["found", "not_found", "not_looked"]
    told: Annotated[str, Field(max_length=400, pattern=TEXT)] = ""

    @property
    def words(self) -> str:
        """The leak, for people."""
        return LEAKS[self.leak]
