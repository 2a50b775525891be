"""Ceilings of rows that are clipped as a whole: `matrix_gaussian`, whose (ε, δ) bounds every one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from splitcore.audit.capture import plan_of
from splitcore.boundary.stages import At
from splitcore.ceilings.confidence import Hits
from splitcore.ceilings.epsilon import PooledRelease
from splitcore.ceilings.figure import KAPPAS, is_broken
from splitcore.ceilings.kappa import Blind, Prefix, Rest
from splitcore.ceilings.measure import measure, record_distances, token_distances
from splitcore.ceilings.rows import ClippedHead, centre_of, why_unbounded
from splitcore.ceilings.tests.noisy_run import LONGEST, NoisyRun, noisy_config
from splitcore.ceilings.tradeoff import Distances
from splitcore.config import RunConfig
from splitcore.privacy.matrix_gaussian.config import MatrixGaussian
from splitcore.privacy.matrix_gaussian.stage import MatrixGaussianStage
from splitcore.privacy.noise import Noise
from splitcore.training.tests.conftest import run_config
from splitcore.wire.protocol.messages import Phase

Model = Callable[[str], Path]
CLIP, RECORDS, SECRETS = 0.5, 24, 3
NOISES = [0.02, 0.06, 0.2]


def whole_config(folder: Path, **fields: float) -> RunConfig:
    privacy = {"defences": [{"name": "matrix_gaussian", "clip": CLIP, **fields}]}
    return run_config(folder, privacy=privacy, lora={"train_head": False})


@pytest.fixture(scope="module")
def run(model: Model) -> Callable[[float], NoisyRun]:
    """A run by its noise."""
    return cache(lambda noise: NoisyRun(whole_config(model("llama"), noise=noise)))


def released(rows: Sequence[torch.Tensor], choice: MatrixGaussian, secret: int) -> list[torch.Tensor]:
    """Rows (N, D) over σ through the defence itself."""
    lengths_B = torch.tensor([len(row_ND) for row_ND in rows])
    tensor_BLD = pad_sequence(list(rows), batch_first=True).float() * choice.deviation
    mask_BL = (torch.arange(tensor_BLD.shape[1]) < lengths_B[:, None]).long()
    stage = MatrixGaussianStage(choice, Noise(secret.to_bytes(32, "big")))
    noisy_BLD = stage.protect(tensor_BLD, Phase.HEAD_UP, At(0, 0, mask_BL, tuple(range(len(rows)))))
    return [noisy_LD[mask_L.bool()] for noisy_LD, mask_L in zip(noisy_BLD, mask_BL, strict=True)]


@pytest.mark.parametrize("epsilon", [1.0, 8.0])
def test_no_ceiling_is_above_what_epsilon_and_delta_give(model: Model, epsilon: float) -> None:
    one = NoisyRun(whole_config(model("llama"), epsilon=epsilon))
    ids = one.ids(RECORDS)
    found = measure(one.head, one.records(ids), one.ids(40, word="memo"), longest=LONGEST)
    proven = PooledRelease.calibrated(epsilon)
    for kappa in KAPPAS:
        assert found.ceilings.record.ceiling(kappa) <= proven.ceiling(kappa) + 1e-9
    assert found.ceilings.gains()["record"] <= proven.gain
    assert kappa <= found.ceilings.at(Blind(kappa), Prefix(kappa), Rest(kappa)).value < 1.0


@pytest.mark.parametrize("noise", NOISES)
def test_an_attack_reads_no_more_than_its_own_null_and_the_distances_allow(
    run: Callable[[float], NoisyRun], noise: float
) -> None:
    one, choice = run(noise), MatrixGaussian(clip=CLIP, noise=noise)
    ids = one.ids(RECORDS)
    rows, centre_LD = one.head.rows(ids), centre_of(one.head.rows(one.ids(40, word="memo")), LONGEST)
    counts_N = torch.tensor([len(ids_N) - 1 for ids_N in ids])
    records = Distances(record_distances(rows, centre_LD, one.head.radius, whole=True), counts_N)

    def read(rows: Sequence[torch.Tensor], first: int, choice: MatrixGaussian = choice) -> Hits:
        right = [
            (guess_N == ids_N)[1:]
            for secret in range(first, first + SECRETS)
            for guess_N, ids_N in zip(one.read(released(rows, choice, secret)), ids, strict=True)
        ]
        return Hits(int(torch.cat(right).sum()), len(torch.cat(right)))

    attack, null = read(rows, 0), read([centre_LD[: len(ids_N)] for ids_N in ids], 100)
    assert not is_broken(records, attack, null)
    if noise == NOISES[0]:
        assert attack.value > 0.5  # there is something to bound


def test_a_whole_row_s_distance_has_the_clip_as_its_bound_and_a_token_acts_on_every_row(
    run: Callable[[float], NoisyRun],
) -> None:
    one = run(NOISES[1])
    ids = one.ids(RECORDS)
    rows = one.head.rows(ids)
    assert max(float(row_ND.norm()) for row_ND in rows) == pytest.approx(one.head.radius, rel=1e-5)
    assert one.head.reach(9) == one.head.radius == pytest.approx(1 / NOISES[1])
    last = len(ids[0]) - 1
    changed_N = ids[0].clone()
    changed_N[last] += 1
    assert float((one.head.rows([changed_N])[0][:last] - rows[0][:last]).norm()) > 1e-4
    assert one.head.acts_from(last) == 0
    drawn = torch.Generator().manual_seed(0)
    found = token_distances(one.head, rows, one.records(ids), [(0, last)], torch.cat(ids), drawn)
    assert 0.0 < float(found) <= 2 * one.head.radius


def test_rows_that_were_clipped_token_by_token_are_refused(model: Model, run: Callable[[float], NoisyRun]) -> None:
    tokens = ClippedHead(plan_of(noisy_config(model("llama"), NOISES[1], clip=CLIP)))
    rows = tokens.rows(run(NOISES[1]).ids(RECORDS))
    with pytest.raises(ValueError, match="clip"):
        record_distances(rows, torch.zeros(LONGEST, tokens.width), tokens.radius, whole=True)


@pytest.mark.parametrize("defence", ["dchi", "importance_noise"])
def test_other_laws_have_no_ceiling_and_it_is_said_why(model: Model, defence: str) -> None:
    config = run_config(model("llama"), privacy={"defences": [defence]}, lora={"train_head": False})
    assert f"which the noise of {defence} isn't" in why_unbounded(config)
    alike = {"name": "importance_noise", "rarest": 1.0}
    assert why_unbounded(run_config(model("llama"), privacy={"defences": [alike]}, lora={"train_head": False})) == ""
