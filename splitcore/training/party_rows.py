"""A data party's rows, as its half goes through them: tokens, the batches of each step, and the held-out ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from splitcore.control.events import Event, RowsLeftOut
from splitcore.data.batches import Batch, collate, padding_id
from splitcore.data.sampling import Sampler, cut
from splitcore.data.tokenise import Encoded, encode_rows
from splitcore.errors import AppError
from splitcore.models.loading import read_tokenizer
from splitcore.run.plan import RunPlan
from splitcore.training.halves import micro_rows

Rows = Sequence[Mapping[str, Any]]


class PartyRows:
    """Encoded once; no text is kept.

    `numbers`: of each row in the order of iteration, its number among all rows that were given, held-out ones last.
    """

    def __init__(self, plan: RunPlan, party: str, rows: Rows, held_out: Rows) -> None:
        """Raises AppError CL-12xx."""
        config = plan.settings.config.for_party(party)
        training = config.training
        self._plan, self._party, self._micro_batches = plan, party, training.micro_batches
        self.tokenizer: Any = read_tokenizer(plan.folder)
        encode = partial(encode_rows, tokenizer=self.tokenizer, data=config.data, max_length=training.max_length)
        self._encoded, self._held_out = encode(rows), encode(held_out)
        self._left_out = (len(rows) - len(self._encoded), len(held_out) - len(self._held_out))
        self._longest = training.max_length
        held_numbers = _kept(held_out, self._held_out, encode)
        self.numbers = [*_kept(rows, self._encoded, encode), *(len(rows) + number for number in held_numbers)]
        if rows and not self._encoded:
            raise AppError("CL-1203", _no_room(party, len(rows), training.max_length))
        if not self._encoded:
            raise AppError("CL-1205")
        self._sampler = Sampler(
            len(self._encoded), training.batch_size, seed=training.seed, party=party, shuffle=training.shuffle
        )

    def tell_left_out(self, emit: Callable[[Event], None]) -> None:
        """How many rows, and held-out ones, were left out because their prompt alone fills the longest row."""
        if any(self._left_out):
            emit(RowsLeftOut(self._party, 0, *self._left_out, self._longest))

    @property
    def trained(self) -> int:
        """How many are trained on: the first ones in the order of iteration."""
        return len(self._encoded)

    def __len__(self) -> int:
        return self.trained

    def __iter__(self) -> Iterator[Encoded]:
        """All of them, the held-out ones last."""
        yield from self._encoded
        yield from self._held_out

    def indices(self, step: int) -> list[int]:
        """The rows of a step (from 0), by their place in the order of iteration; none where it is another's turn."""
        if self._party not in self._plan.active(step):
            return []
        return self._sampler.batch(self._plan.own_step(self._party, step))

    def step(self, step: int) -> list[Batch]:
        """The micro-batches of a step (from 0); none where it is another party's turn."""
        indices = self.indices(step)
        if not indices:
            return []
        parts = cut(indices, self._micro_batches)
        return [self._collate([self._encoded[index] for index in part], part) for part in parts]

    def held_out(self) -> list[Batch]:
        """The held-out rows, in batches of a micro-batch's size."""
        size, rows = micro_rows(self._plan.settings.config, self._party), self._held_out
        numbers = range(len(self._encoded), len(self._encoded) + len(rows))
        return [
            self._collate(rows[start : start + size], numbers[start : start + size])
            for start in range(0, len(rows), size)
        ]

    def _collate(self, rows: Sequence[Encoded], numbers: Sequence[int] | None = None) -> Batch:
        return collate(rows, padding=padding_id(self.tokenizer), device=self._plan.device, numbers=numbers)


def _kept(rows: Rows, encoded: list[Encoded], encode: Callable[[Rows], list[Encoded]]) -> list[int]:
    """The places of the rows that were encoded; where some were left out, each is tried once more by itself."""
    if len(encoded) == len(rows):
        return list(range(len(rows)))
    return [number for number, row in enumerate(rows) if encode([row])]


def _no_room(party: str, rows: int, max_length: int) -> str:
    """That nothing is left to train on."""
    of = "its only row" if rows == 1 else f"each of its {rows:,} rows"
    return f"{party}: in {of}, the prompt alone takes up the {max_length:,} tokens of training.max_length."
