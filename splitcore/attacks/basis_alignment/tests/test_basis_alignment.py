"""The attack `basis_alignment` on recorded frames of real trainings whose hidden states are in a secret basis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from splitcore.attacks.basis_alignment.attack import procrustes, starts
from splitcore.attacks.basis_alignment.config import BasisAlignment
from splitcore.attacks.figures import figures_of
from splitcore.attacks.learned_inverter.config import LearnedInverter
from splitcore.attacks.registry import ATTACKS
from splitcore.attacks.tests.recorded import OWN, Recorded, null, recorded, token_ids
from splitcore.errors import AppError

Model = Callable[[str], Path]
WIDTH = 16


def rotation(kind: str = "rotation") -> torch.Tensor:
    """A secret orthogonal matrix (D, D)."""
    generator = torch.Generator().manual_seed(11)
    if kind == "permutation":
        return torch.eye(WIDTH)[torch.randperm(WIDTH, generator=generator)]
    return torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator)).Q


def in_basis(taken: Recorded, kind: str = "rotation") -> Recorded:
    """What would have crossed had the party folded the secret matrix into its last layer, and into the body."""
    secret_DD = rotation(kind)
    crossings = [replace(one, hidden_ND=one.hidden_ND @ secret_DD) for one in taken.transcript.crossings]
    return replace(taken, transcript=replace(taken.transcript, crossings=crossings))


def guesses(taken: Recorded) -> list[torch.Tensor]:
    own = token_ids(taken.knowledge().plan, OWN)
    return BasisAlignment().build().guess(taken.transcript, taken.knowledge(auxiliary=own))


@pytest.fixture(scope="module")
def bare(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return recorded(model("llama"), tmp_path_factory.mktemp("taken"), epochs=2, lora={"train_head": True})


@pytest.mark.parametrize("kind", ["permutation", "rotation"])
def test_a_secret_basis_is_found_without_a_known_row(bare: Recorded, kind: str) -> None:
    hidden = in_basis(bare, kind)
    own = token_ids(hidden.knowledge().plan, OWN)
    learned = LearnedInverter(kind="linear").build().guess(hidden.transcript, hidden.knowledge(auxiliary=own))
    assert figures_of(learned, hidden.truths).tokens.high < 0.2
    assert figures_of(guesses(hidden), hidden.truths).tokens.value >= 0.9


def test_without_a_secret_it_reads_what_crosses(bare: Recorded) -> None:
    assert figures_of(guesses(bare), bare.truths).tokens.value >= 0.9


def test_a_row_that_it_knows_is_given_back(bare: Recorded) -> None:
    hidden, ids_N = in_basis(bare), bare.truths[0].ids_N
    own = token_ids(hidden.knowledge().plan, OWN)
    found = BasisAlignment().build().guess(hidden.transcript, hidden.knowledge(auxiliary=own, known={0: ids_N}))
    assert torch.equal(found[0], ids_N)


def test_of_other_records_it_reads_no_more_than_what_all_records_share(bare: Recorded) -> None:
    hidden = in_basis(bare)
    others, alike = null(guesses(hidden), hidden.truths)
    assert others.tokens.value <= alike.tokens.value


def test_the_moments_alone_give_the_rotation_of_numbers_without_symmetry() -> None:
    generator = torch.Generator().manual_seed(2)
    scale_D = torch.linspace(1, 3, WIDTH)
    rows = [torch.empty(50, WIDTH).exponential_(generator=generator) * scale_D for _ in range(100)]
    _, axes_DD, _ = starts([row_ND @ rotation() for row_ND in rows], rows)
    assert torch.allclose(rotation().double() @ axes_DD, torch.eye(WIDTH, dtype=torch.float64), atol=1e-4)


def test_procrustes_finds_the_rotation_between_pairs() -> None:
    values_ND = torch.randn(40, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found_DD = procrustes(values_ND @ rotation().double(), values_ND)
    assert torch.allclose(found_DD, rotation().double().t(), atol=1e-5)


def test_without_text_of_its_own_it_is_refused(bare: Recorded) -> None:
    with pytest.raises(AppError, match="CL-1560"):
        BasisAlignment().build().guess(bare.transcript, bare.knowledge())


def test_the_registry_names_it() -> None:
    assert BasisAlignment in ATTACKS
