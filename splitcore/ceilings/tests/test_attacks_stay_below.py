"""Real attacks on the real defence lie below their ceilings, which assume nothing; planted faults lie above.

Cells: a size of noise, and whether the whole record or one token is unknown. In the first four the attack reads some
0.9, 0.7, 0.5 and 0.3 of the tokens; in the others the ceiling is low.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path

import pytest
import torch

from splitcore.ceilings.confidence import ALPHA, Hits
from splitcore.ceilings.figure import is_broken
from splitcore.ceilings.measure import record_distances
from splitcore.ceilings.rows import centre_of
from splitcore.ceilings.tests.noisy_run import LONGEST, NoisyRun, noisy_config
from splitcore.ceilings.tradeoff import Distances

Model = Callable[[str], Path]
NOISE = {0.165: 0.9, 0.22: 0.7, 0.275: 0.5, 0.34: 0.3, 1.0: None, 5.0: None}
CELLS = 2 * len(NOISE)
RECORDS, SECRETS, LEAK = 24, range(3), 0.05


def hits(guesses: Sequence[torch.Tensor], truths: Sequence[torch.Tensor]) -> Hits:
    """Of all tokens but the first, which every row has."""
    right = [(guess_N == ids_N)[1:] for guess_N, ids_N in zip(guesses, truths, strict=True)]
    return Hits(int(torch.cat(right).sum()), len(torch.cat(right)))


class Cell:
    """One size of noise."""

    def __init__(self, folder: Path, noise: float) -> None:
        self.run = NoisyRun(noisy_config(folder, noise))
        self.ids = self.run.ids(RECORDS)
        self.rows = self.run.head.rows(self.ids)
        centre_LD = centre_of(self.run.head.rows(self.run.ids(40, word="memo")), LONGEST)
        self.centres = [centre_LD[: len(ids_N)] for ids_N in self.ids]
        counts_N = torch.tensor([len(ids_N) - 1 for ids_N in self.ids])
        self.records = Distances(record_distances(self.rows, centre_LD, self.run.head.radius), counts_N)

    def read(self, rows: Sequence[torch.Tensor], first: int = 0) -> list[torch.Tensor]:
        """Guesses from releases of rows, one after the other for each secret."""
        return [guess for secret in SECRETS for guess in self.run.read(self.run.released(rows, secret=first + secret))]

    @property
    def truths(self) -> list[torch.Tensor]:
        """Of such guesses."""
        return [ids_N for _ in SECRETS for ids_N in self.ids]

    @cached_property
    def attack(self) -> Hits:
        """On the party's own releases."""
        return hits(self.read(self.rows), self.truths)

    @cached_property
    def null(self) -> Hits:
        """On the reference with the same noise."""
        return hits(self.read(self.centres, 100), self.truths)


@pytest.fixture(scope="module")
def cell(model: Model) -> Callable[[float], Cell]:
    return cache(lambda noise: Cell(model("llama"), noise))


@pytest.mark.parametrize("noise", NOISE)
def test_an_attack_reads_no_more_of_records_than_its_own_null_and_their_distances_allow(
    cell: Callable[[float], Cell], noise: float
) -> None:
    one = cell(noise)
    attack, expected = one.attack, NOISE[noise]
    if expected is not None:
        assert attack.value == pytest.approx(expected, abs=0.05)
    assert not is_broken(one.records, attack, one.null, ALPHA / CELLS)


@pytest.mark.parametrize("noise", NOISE)
def test_an_attack_reads_no_more_of_a_token_than_with_another_one_in_its_place(
    cell: Callable[[float], Cell], noise: float
) -> None:
    one, draw = cell(noise), torch.Generator().manual_seed(1)
    places = [(number, place) for number, ids_N in enumerate(one.ids) for place in range(1, len(ids_N))]
    other_P = torch.randint(3, 264, (len(places),), generator=draw)  # no look at the true one
    replaced = [one.ids[number].clone() for number, _ in places]
    for ids_N, (_, place), other in zip(replaced, places, other_P, strict=True):
        ids_N[place] = other
    rows = one.run.head.rows(replaced)
    away = [(one.rows[number][place:] - row_ND[place:]).double().norm()
            for row_ND, (number, place) in zip(rows, places, strict=True)]  # fmt: skip
    guesses, truths = one.run.read(one.run.released(rows, secret=200)), [one.ids[number] for number, _ in places]
    null = sum(int(guess_N[place] == ids_N[place])
               for guess_N, ids_N, (_, place) in zip(guesses, truths, places, strict=True))  # fmt: skip
    tokens = Distances(torch.stack(away))
    assert not is_broken(tokens, one.attack, Hits(null, len(places)), ALPHA / CELLS)


def test_ids_in_the_clear_at_one_place_of_twenty_are_found_where_the_ceiling_is_low(model: Model) -> None:
    one = Cell(model("llama"), 20.0)
    assert one.records.ceiling(one.null.upper()) - one.null.value < LEAK
    assert not is_broken(one.records, one.attack, one.null)
    draw = torch.Generator().manual_seed(2)
    leaking = [torch.where(torch.rand(len(ids_N), generator=draw) < LEAK, ids_N, guess_N)
               for guess_N, ids_N in zip(one.read(one.rows), one.truths, strict=True)]  # fmt: skip
    assert is_broken(one.records, hits(leaking, one.truths), one.null)


def test_a_null_of_the_party_s_own_releases_is_told_from_one_of_other_records(cell: Callable[[float], Cell]) -> None:
    """By mistake it would make every ceiling hold. One of shuffled records reads what the records share, no more."""
    one = cell(0.22)
    alike = {len(ids_N): [n for n, other_N in enumerate(one.ids) if len(other_N) == len(ids_N)] for ids_N in one.ids}
    partner = [alike[len(ids_N)][(alike[len(ids_N)].index(n) + 1) % len(alike[len(ids_N)])]
               for n, ids_N in enumerate(one.ids)]  # fmt: skip
    guesses = one.read(one.rows)
    shuffled = hits([guesses[RECORDS * secret + partner[n]] for secret in SECRETS for n in range(RECORDS)], one.truths)
    assert all(n != other for n, other in enumerate(partner))
    assert hits(guesses, one.truths).lower() > shuffled.upper() + 0.1
    assert one.null.lower() <= shuffled.upper() + 0.05
