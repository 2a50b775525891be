"""Which rows come in which step, a seeded order that can be entered at any step; and which are never trained on."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def epoch_order(rows: int, *, seed: int, party: str, epoch: int, shuffle: bool) -> list[int]:
    """The order of rows in one epoch."""
    order = list(range(rows))
    if shuffle:
        digest = hashlib.sha256(f"order\0{seed}\0{party}\0{epoch}".encode()).digest()
        random.Random(int.from_bytes(digest, "big")).shuffle(order)  # noqa: S311 - an order, no secret
    return order


class Sampler:
    """Batches by step: the epochs' orders one after the other, cut into equal batches."""

    def __init__(self, rows: int, batch_size: int, *, seed: int, party: str, shuffle: bool) -> None:
        if rows < 1:
            raise ValueError("a sampler needs rows")
        self._rows, self._batch_size = rows, batch_size
        self._seed, self._party, self._shuffle = seed, party, shuffle
        self._orders: dict[int, list[int]] = {}

    def batch(self, step: int) -> list[int]:
        """Row numbers of step `step` (from 0)."""
        start = step * self._batch_size
        return [self._row(place) for place in range(start, start + self._batch_size)]

    def _row(self, place: int) -> int:
        epoch, offset = divmod(place, self._rows)
        if epoch not in self._orders:
            self._orders = {e: order for e, order in self._orders.items() if e >= epoch - 1}
            self._orders[epoch] = epoch_order(
                self._rows, seed=self._seed, party=self._party, epoch=epoch, shuffle=self._shuffle
            )
        return self._orders[epoch][offset]


def cut(batch: Sequence[T], parts: int) -> list[list[T]]:
    """A batch in `parts` equal micro-batches, in order."""
    size = len(batch) // parts
    return [list(batch[index * size : (index + 1) * size]) for index in range(parts)]


def drawn(rows: Sequence[Any], count: int) -> set[int]:
    """Places of `count` rows (or all), drawn by the hashes of what they hold.

    No seed has a say in it, so that whoever writes a configuration does not choose rows. A smaller draw is part of a
    larger one: what two measurements differ by are whole blocks of rows, however many are combined.
    """
    order = sorted(range(len(rows)), key=lambda place: (_hash(rows[place]), place))
    return set(order[:count])


def _hash(row: Any) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True, default=str).encode()).hexdigest()


def hold_out(rows: Sequence[T], fraction: float) -> tuple[list[T], list[T]]:
    """Rows to train on and rows to hold out, both in their old order. Neither is left empty."""
    count = min(len(rows) - 1, round(len(rows) * fraction)) if fraction else 0
    if count < 1 and fraction and len(rows) > 1:
        count = 1
    held = drawn(rows, count)
    return [row for i, row in enumerate(rows) if i not in held], [row for i, row in enumerate(rows) if i in held]
