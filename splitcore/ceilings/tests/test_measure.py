"""Ceilings of a run, measured on rows as they leave."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from splitcore.attacks.reading import TranscriptReader
from splitcore.audit.capture import PARTY, capture
from splitcore.ceilings import rows as ceiling_rows
from splitcore.ceilings.confidence import ALPHA, Sampled
from splitcore.ceilings.figure import KAPPAS
from splitcore.ceilings.measure import (
    Record,
    clip_distances,
    label_distances,
    measure,
    record_distances,
    token_distances,
)
from splitcore.ceilings.rows import ClippedHead, centre_of, why_unbounded
from splitcore.ceilings.tests.noisy_run import CLIP, LONGEST, NoisyRun, noisy_config, notes
from splitcore.ceilings.tradeoff import Distances
from splitcore.data.tokenise import IGNORED, Encoded
from splitcore.training.tests.conftest import run_config

Model = Callable[[str], Path]
COUNT = 60


@pytest.fixture
def run(model: Model) -> NoisyRun:
    return NoisyRun(noisy_config(model("llama"), 2.0))


def test_what_crosses_in_a_training_is_the_measured_rows_and_noise_of_the_declared_size(
    model: Model, tmp_path: Path
) -> None:
    config = noisy_config(model("llama"), 0.5)
    taken = capture(config, notes(24, word="note"), tmp_path, epochs=2)
    run = NoisyRun(taken.config)
    crossings = TranscriptReader(run.plan, PARTY).read(taken.recording).crossings
    ids = [taken.rows[one.step, one.micro, one.place].ids_N for one in crossings]
    noise = [one.hidden_ND / run.choice.deviation - row_ND
             for one, row_ND in zip(crossings, run.head.rows(ids), strict=True)]  # fmt: skip
    noise_F = torch.cat(noise).flatten()
    assert float(noise_F.std()) == pytest.approx(1.0, abs=0.02)
    assert float(noise_F.mean()) == pytest.approx(0.0, abs=0.03)
    assert len({tuple(one.hidden_ND[0].tolist()) for one in crossings}) == 24  # one release, however many epochs
    lengths = torch.cat(run.head.rows(ids)).norm(dim=1)
    assert float(lengths.max()) == pytest.approx(run.head.radius, rel=1e-5)
    assert float((lengths < 0.99 * run.head.radius).double().mean()) > 0.05


def test_a_run_has_ceilings_that_fall_as_its_noise_grows(model: Model) -> None:
    found = dict[float, list[float]]()
    for noise in (0.02, 2.0, 20.0):
        run = NoisyRun(noisy_config(model("llama"), noise))
        one = measure(run.head, run.records(run.ids(COUNT)), run.ids(COUNT, word="memo"), longest=LONGEST)
        assert (one.records, one.tokens) == (COUNT, sum(len(ids_N) - 1 for ids_N in run.ids(COUNT)))
        assert one.token_nats > one.record_nats * one.records / one.tokens
        found[noise] = [ceiling.value for _, ceiling in one.ceilings.curve()]
        if noise == 0.02:
            assert not any(ceiling.says_something for _, ceiling in one.ceilings.curve())
        else:
            largest = clip_distances(torch.tensor([LONGEST]), 2 * run.head.radius)
            assert float(one.ceilings.record.m_N.max()) <= float(largest)  # type: ignore[attr-defined]
    assert all(less > more for less, more in zip(found[2.0], found[20.0], strict=True))
    assert found[20.0][0] < 0.2


def test_a_record_counts_for_its_scored_tokens(run: NoisyRun) -> None:
    ids, others = run.ids(COUNT), run.ids(COUNT, word="memo")
    records = [Record(ids_N, torch.arange(len(ids_N)) < 1 + 9 * (n % 3)) for n, ids_N in enumerate(ids)]
    m_R = record_distances(run.head.rows(ids), centre_of(run.head.rows(others), LONGEST), run.head.radius)
    counts_R = torch.tensor([1 + 9 * (n % 3) for n in range(COUNT)])
    found = measure(run.head, records, others, longest=LONGEST)
    assert found.ceilings.record.gain() == pytest.approx(Distances(m_R, counts_R).gain(), abs=1e-6)
    assert found.ceilings.record.gain() != pytest.approx(Distances(m_R).gain(), abs=1e-6)
    assert found.tokens == int(counts_R.sum())


def test_what_is_estimated_shares_one_error_probability_and_no_pilot_is_in_a_sample(run: NoisyRun) -> None:
    found = measure(run.head, run.records(run.ids(9)), run.ids(9, word="memo"), longest=LONGEST, positions=30)
    token = found.ceilings.token
    assert isinstance(token, Sampled)
    assert (token.alpha, len(token.m_N)) == (ALPHA / 2, 30)
    assert token.shares > len(KAPPAS) + 1  # the curve, a point of it and the gain


def test_a_reference_of_the_measured_text_itself_is_refused(run: NoisyRun) -> None:
    ids = run.ids(COUNT)
    with pytest.raises(ValueError, match="other text"):
        measure(run.head, run.records(ids), [*run.ids(9, word="memo"), ids[4]], longest=LONGEST)


def test_where_every_token_is_a_label_there_is_nothing_to_measure(run: NoisyRun) -> None:
    labels = [Record.of(Encoded(tuple(ids_N.tolist()), tuple(ids_N.tolist()))) for ids_N in run.ids(3)]
    with pytest.raises(ValueError, match="no token"):
        measure(run.head, labels, run.ids(9, word="memo"), longest=LONGEST)


def test_rows_beyond_the_clip_are_refused(run: NoisyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, others = run.ids(COUNT), run.ids(COUNT, word="memo")
    monkeypatch.setattr(ceiling_rows, "clipped_tokens", lambda tensor_BLD, mask_BL, clip: tensor_BLD)
    with pytest.raises(ValueError, match="clip"):
        measure(run.head, run.records(ids), others, longest=LONGEST)


def test_the_centre_is_each_place_s_mean_and_what_never_varies_costs_nothing() -> None:
    draw = torch.Generator().manual_seed(1)
    rows = [torch.randn(length, 3, generator=draw) for length in [*[6] * 9, 8]]
    for row_ND in rows:
        row_ND[0] = 7.0
    centre_LD = centre_of(rows, 10)
    assert torch.allclose(centre_LD[1], torch.stack([row_ND[1] for row_ND in rows]).double().mean(0))
    assert torch.allclose(centre_LD[6], rows[-1][6:].double().mean(0))  # one row is that long: its mean from there on
    assert torch.allclose(centre_LD[9], torch.cat(rows).double().mean(0))
    first = record_distances([row_ND[:1] for row_ND in rows], centre_LD, 20.0)
    assert float(first.max()) == 0.0


def test_a_token_is_replaced_without_a_look_at_it_and_moves_no_row_before_it(run: NoisyRun) -> None:
    ids = run.ids(4)
    rows, records = run.head.rows(ids), run.records(ids)
    same = torch.tensor([int(ids[2][5])])  # nothing else to draw: the mean is the row itself
    places, draw = [(2, 5)], torch.Generator().manual_seed(1)
    assert float(token_distances(run.head, rows, records, places, same, draw)) == pytest.approx(0.0, abs=1e-4)
    other = torch.tensor([int(ids[2][5]) + 1])
    found = float(token_distances(run.head, rows, records, places, other, draw))
    changed_N = ids[2].clone()
    changed_N[5] += 1
    (changed_ND,) = run.head.rows([changed_N])
    assert torch.allclose(changed_ND[:5], rows[2][:5], atol=1e-5)
    assert found == pytest.approx(float((changed_ND - rows[2]).norm()), rel=1e-4)


def test_rows_are_the_same_in_any_batch(run: NoisyRun) -> None:
    ids = run.ids(9)
    together = run.head.rows(ids)
    for ids_N, row_ND in zip(ids, together, strict=True):
        (alone_ND,) = run.head.rows([ids_N])
        assert torch.allclose(alone_ND, row_ND, atol=1e-5)
        assert row_ND.shape == (len(ids_N), run.head.width)


def test_gradients_are_measured_from_zero() -> None:
    gradients = [torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[1.0, 0.0]])]
    assert label_distances(gradients, 5.0).tolist() == [0.0, 5.0, 1.0]
    with pytest.raises(ValueError, match="clip"):
        label_distances(gradients, 4.9)


def test_without_data_the_clip_alone_bounds_every_distance() -> None:
    assert clip_distances(torch.tensor([16, 25]), 0.5, 4).tolist() == [4.0, 5.0]


def test_of_a_row_whose_labels_are_told_elsewhere_the_other_tokens_are_scored() -> None:
    record = Record.of(Encoded((5, 6, 7), (IGNORED, IGNORED, 7)))
    assert record.scored_N.tolist() == [True, True, False]


def test_values_of_different_lengths_are_refused(run: NoisyRun) -> None:
    with pytest.raises(ValueError, match="equally many"):
        run.head.planted(run.ids(1)[0], 3, [[5], [6, 7]])


def test_a_run_without_noise_and_one_with_a_trained_head_have_no_measured_ceiling(model: Model) -> None:
    bare, trained = run_config(model("llama")), noisy_config(model("llama"), 1.0, lora={"train_head": True})
    mixed = run_config(model("llama"), privacy={"defences": ["token_mixup", "gaussian"]}, lora={"train_head": False})
    hidden = run_config(model("llama"), privacy={"defences": ["secret_start", "gaussian"]}, lora={"train_head": False})
    assert why_unbounded(hidden) == "", "a frozen head has no adapter whose start could be secret"
    assert why_unbounded(noisy_config(model("llama"), 1.0)) == ""
    for config, why in ((bare, "no noise"), (trained, "released again"), (mixed, "Something else")):
        assert why in why_unbounded(config)
        with pytest.raises(ValueError, match=why):
            ClippedHead(NoisyRun(config).plan)
    assert math.isclose(NoisyRun(noisy_config(model("llama"), 0.5, clip=CLIP)).head.radius, 2.0)
