"""Tokens as Gaussian classes, on numbers that are drawn from such classes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from splitcore.attacks.classes import Example, fit_classes

VOCABULARY, WIDTH = 60, 12


@pytest.fixture
def drawn() -> tuple[torch.Tensor, torch.Tensor, Callable[..., list[Example]]]:
    """Embeddings (V, E), the covariance's root (D, D), and rows of tokens of a range, the first ones likelier."""
    generator = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    embedding_VE, map_ED, root_DD = normal(VOCABULARY, 8), normal(8, WIDTH), normal(WIDTH, WIDTH)

    def rows(count: int, tokens: range, scatter: float = 1.0) -> list[Example]:
        chances = 1.0 / (1.0 + torch.arange(len(tokens)))
        ids = [tokens.start + torch.multinomial(chances, 30, True, generator=generator) for _ in range(count)]
        return [(embedding_VE[ids_N] @ map_ED + scatter * normal(30, WIDTH) @ root_DD, ids_N) for ids_N in ids]

    return embedding_VE @ map_ED, root_DD, rows


def right(guesses: list[torch.Tensor], rows: list[Example]) -> float:
    return float((torch.cat(guesses) == torch.cat([ids_N for _, ids_N in rows])).double().mean())


def test_they_read_as_well_as_the_law_that_the_numbers_were_drawn_from(drawn) -> None:
    centres_VD, root_DD, rows = drawn
    classes, fresh = fit_classes(rows(400, range(VOCABULARY)), centres_VD), rows(100, range(VOCABULARY))
    inverse_DD = torch.linalg.inv(root_DD.t() @ root_DD)
    prior_V = (1.0 / (1.0 + torch.arange(VOCABULARY))).log()
    best = list[torch.Tensor]()
    for hidden_ND, _ in fresh:
        apart_NVD = hidden_ND[:, None] - centres_VD
        best.append((prior_V - ((apart_NVD @ inverse_DD) * apart_NVD).sum(-1) / 2).argmax(1))
    assert 0.5 < right(best, fresh) < 0.99
    assert right([classes.read(hidden_ND) for hidden_ND, _ in fresh], fresh) >= right(best, fresh) - 0.02


def test_a_token_without_an_example_is_read_by_its_embedding(drawn) -> None:
    centres_VD, _, rows = drawn
    classes = fit_classes(rows(400, range(50), 0.2), centres_VD)
    unseen = [(centres_VD[50:], torch.arange(50, VOCABULARY))]
    assert right([classes.read(hidden_ND) for hidden_ND, _ in unseen], unseen) == 1.0


def test_hidden_states_without_any_scatter_are_told_apart(drawn) -> None:
    centres_VD, _, _ = drawn
    ids_N = torch.arange(VOCABULARY)
    classes = fit_classes([(centres_VD[ids_N], ids_N)], centres_VD)
    assert torch.equal(classes.read(centres_VD), ids_N)
    assert len(classes.read(centres_VD[:0])) == 0
