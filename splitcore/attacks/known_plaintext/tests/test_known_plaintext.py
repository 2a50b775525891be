"""The attack `known_plaintext` on recorded frames of real trainings whose hidden states are in a secret basis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from splitcore.attacks.figures import Figures, figures_of
from splitcore.attacks.known_plaintext.attack import Pairs, parted
from splitcore.attacks.known_plaintext.config import KnownPlaintext
from splitcore.attacks.learned_inverter.config import LearnedInverter
from splitcore.attacks.nearest_embedding.config import NearestEmbedding
from splitcore.attacks.registry import ATTACKS
from splitcore.attacks.tests.recorded import OWN, Recorded, null, recorded, token_ids
from splitcore.errors import AppError

Model = Callable[[str], Path]
WIDTH = 16
KNOWN = 3  # rows


def basis(kind: str) -> torch.Tensor:
    """A secret matrix (D, D)."""
    generator = torch.Generator().manual_seed(11)
    drawn_DD = torch.randn(WIDTH, WIDTH, generator=generator)
    if kind == "permutation":
        return torch.eye(WIDTH)[torch.randperm(WIDTH, generator=generator)]
    if kind == "rotation":
        return torch.linalg.qr(drawn_DD).Q
    return drawn_DD + 2 * torch.eye(WIDTH)  # not even orthogonal


def in_basis(taken: Recorded, kind: str) -> Recorded:
    """What would have crossed had the party folded the secret matrix into its last layer before the cut."""
    secret_DD = basis(kind)
    crossings = [replace(one, hidden_ND=one.hidden_ND @ secret_DD) for one in taken.transcript.crossings]
    return replace(taken, transcript=replace(taken.transcript, crossings=crossings))


def known_places(taken: Recorded) -> list[int]:
    """The crossings of the first rows."""
    records = sorted({truth.record for truth in taken.truths})[:KNOWN]
    return [place for place, truth in enumerate(taken.truths) if truth.record in records]


def unknown(taken: Recorded, guesses: Sequence[torch.Tensor]) -> Figures:
    """Scored on the rows that the observer doesn't know."""
    places = [place for place in range(len(taken.truths)) if place not in known_places(taken)]
    return figures_of([guesses[place] for place in places], [taken.truths[place] for place in places])


def guesses(taken: Recorded, map_: str = "any") -> list[torch.Tensor]:
    known = {place: taken.truths[place].ids_N for place in known_places(taken)}
    return KnownPlaintext(map=map_).build().guess(taken.transcript, taken.knowledge(known=known))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bare(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Two epochs with a head that is trained, so that known and other rows cross with different heads."""
    return recorded(model("llama"), tmp_path_factory.mktemp("taken"), epochs=2, lora={"train_head": True})


@pytest.mark.parametrize("kind", ["permutation", "rotation", "other"])
def test_a_few_known_rows_break_a_secret_basis(bare: Recorded, kind: str) -> None:
    hidden = in_basis(bare, kind)
    own = token_ids(hidden.knowledge().plan, OWN)
    nearest = NearestEmbedding().build().guess(hidden.transcript, hidden.knowledge())
    learned = LearnedInverter(kind="linear").build().guess(hidden.transcript, hidden.knowledge(auxiliary=own))
    assert max(unknown(hidden, one).tokens.high for one in (nearest, learned)) < 0.2
    assert unknown(hidden, guesses(hidden)).tokens.value >= 0.97


def test_it_takes_the_kind_of_map_that_fits(bare: Recorded) -> None:
    rotated, other = in_basis(bare, "rotation"), in_basis(bare, "other")
    assert unknown(rotated, guesses(rotated, "rotation")).tokens.value >= 0.97
    assert unknown(other, guesses(other, "rotation")).tokens.high < unknown(other, guesses(other)).tokens.low


def test_it_gives_back_what_it_knows_and_depends_on_the_seed_alone(bare: Recorded) -> None:
    one, again = guesses(bare), guesses(bare)
    assert all(map(torch.equal, one, again))
    assert all(torch.equal(one[place], bare.truths[place].ids_N) for place in known_places(bare))


def test_of_other_records_it_reads_no_more_than_what_all_records_share(bare: Recorded) -> None:
    hidden = in_basis(bare, "rotation")
    others, alike = null(guesses(hidden), hidden.truths)
    assert others.tokens.value <= alike.tokens.value


def test_no_row_is_held_out_in_one_epoch_and_learnt_from_in_another() -> None:
    empty_ND = torch.zeros(2, WIDTH)
    rows = [Pairs(empty_ND, empty_ND, torch.tensor([number, 1])) for number in range(7)]
    learnt, held_out = parted([*rows, *reversed(rows)])
    assert sorted(int(pair.ids_N[0]) for pair in held_out) == [0, 0, 5, 5]
    assert sorted(int(pair.ids_N[0]) for pair in learnt) == [1, 1, 2, 2, 3, 3, 4, 4, 6, 6]
    assert parted(rows[:1]) == (rows[:1], rows[:1])


def test_without_known_rows_it_is_refused(bare: Recorded) -> None:
    with pytest.raises(AppError, match="CL-1561"):
        KnownPlaintext().build().guess(bare.transcript, bare.knowledge())


def test_the_registry_names_it() -> None:
    assert KnownPlaintext in ATTACKS
