"""The defence `nopeek`: its measure against the definition, and what it does to the head."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from splitcore.boundary.stages import At
from splitcore.privacy.nopeek.config import NoPeek
from splitcore.privacy.nopeek.stage import distance_correlation
from splitcore.privacy.tests.training import AT, IDS_BL, LABELS_BL, MASK_BL, TARGETS, Model, place_of


def by_definition(one: torch.Tensor, other: torch.Tensor) -> float:
    """√(S1 + S2 − 2 S3) of sums over pairs and triples, which centres nothing (Székely, Rizzo and Bakirov, 2007)."""

    def covariance(a: torch.Tensor, b: torch.Tensor) -> float:
        count = len(a)
        s1 = sum(float(a[i, j] * b[i, j]) for i in range(count) for j in range(count)) / count**2
        s2 = float(a.sum() / count**2 * b.sum() / count**2)
        s3 = sum(float(a[i].sum() * b[i].sum()) for i in range(count)) / count**3
        return s1 + s2 - 2 * s3

    a, b = (
        torch.tensor([[float((x - y).norm()) for y in values] for x in values], dtype=torch.float64)
        for values in (one, other)
    )
    return float((covariance(a, b) / (covariance(a, a) * covariance(b, b)) ** 0.5) ** 0.5)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def test_the_measure_is_the_one_of_the_definition() -> None:
    one, other = drawn(12, 3), drawn(12, 5)
    for pair in ((one, other), (one, one @ drawn(3, 4)), (one, one.square())):
        assert float(distance_correlation(*pair)) == pytest.approx(by_definition(*pair), rel=1e-9)


def test_it_is_one_for_a_rotated_copy_and_small_for_what_is_independent() -> None:
    one = drawn(400, 3)
    turned = one @ torch.linalg.qr(drawn(3, 3)).Q * 7 + 2
    assert float(distance_correlation(one, turned)) == pytest.approx(1.0, abs=1e-9)
    assert float(distance_correlation(one, drawn(400, 4))) < 0.2


def test_its_gradient_is_the_one_of_differences_and_zero_where_two_tokens_are_equal() -> None:
    one = drawn(6, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda values: distance_correlation(values, drawn(6, 2)), one)
    twins = torch.cat([drawn(4, 3), drawn(4, 3)]).requires_grad_()
    distance_correlation(twins, drawn(8, 2)).backward()
    assert twins.grad is not None
    assert bool(torch.isfinite(twins.grad).all())


def test_the_loss_is_of_real_tokens_and_their_embeddings_and_counts_as_much_as_the_task_s(
    model: Model, tmp_path: Path
) -> None:
    place = place_of(model("llama"), tmp_path)
    stage = NoPeek(weight=3.0).build(place)
    hidden_BLD = torch.randn(2, 5, place.width, generator=torch.Generator().manual_seed(1))
    loss = stage.loss(hidden_BLD, LABELS_BL, AT)
    assert loss is not None
    embedding_VE = place.head.model.get_input_embeddings().weight.detach()  # type: ignore[union-attr]
    real_BL = MASK_BL.bool()
    expected = by_definition(hidden_BLD[real_BL], embedding_VE[IDS_BL[real_BL]])
    assert float(loss) == pytest.approx(3.0 * TARGETS * expected, rel=1e-4)
    assert stage.loss(hidden_BLD + ~real_BL.unsqueeze(-1), LABELS_BL, AT) == loss


def test_no_more_tokens_are_compared_than_it_says(model: Model, tmp_path: Path) -> None:
    place = place_of(model("llama"), tmp_path)
    hidden_BLD = torch.randn(1, 40, place.width, generator=torch.Generator().manual_seed(1), requires_grad=True)
    ids_BL = torch.arange(40).unsqueeze(0)
    loss = NoPeek(tokens=8).build(place).loss(hidden_BLD, ids_BL, At(0, 0, torch.ones(1, 40), (0,), ids_BL=ids_BL))
    assert loss is not None
    loss.backward()
    assert hidden_BLD.grad is not None
    assert int(hidden_BLD.grad.any(-1).sum()) == 8
