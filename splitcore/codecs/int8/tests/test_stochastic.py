"""int8 with stochastic rounding of activations: right on average, and drawn alike in every repetition."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

import splitcore
from splitcore.codecs.rounding import Draw
from splitcore.codecs.tensors import decode, encode
from splitcore.models.tests.tiny import rows
from splitcore.training.tests.conftest import run_config
from splitcore.training.tests.test_parties import difference

Model = Callable[[str], Path]
STOCHASTIC = {"activations": {"name": "int8", "rounding": "stochastic"}}


def test_the_mean_of_many_roundings_is_the_value_where_the_nearest_is_off_the_same_way_each_time() -> None:
    values_ND = torch.randn(4, 64, generator=torch.Generator().manual_seed(1))
    scale_N1 = values_ND.abs().amax(-1, keepdim=True) / 127
    drawn = torch.stack([decode(encode(values_ND, "int8", Draw("stochastic", seed))) for seed in range(600)])
    assert ((drawn - values_ND).abs() <= scale_N1 * 1.001).all()
    assert (drawn.mean(0) - values_ND).abs().max() < 0.1 * scale_N1.max()
    nearest = decode(encode(values_ND, "int8"))
    assert (nearest - values_ND).abs().max() > 0.4 * scale_N1.min()


def test_a_run_is_repeated_bit_by_bit_and_is_another_than_with_the_nearest(model: Model, tmp_path: Path) -> None:
    training = {"steps": 3, "eval_every": 0, "shuffle": False}
    config = run_config(model("llama"), training=training, wire=STOCHASTIC)
    data = {"a": rows(4)}
    first, again = (splitcore.fine_tune(config, data, out=tmp_path / name) for name in ("first", "again"))
    assert first.train_losses == again.train_losses
    assert difference(tmp_path / "first" / "adapter", tmp_path / "again" / "adapter") == 0.0
    nearest = run_config(model("llama"), training=training, wire={"activations": "int8"})
    splitcore.fine_tune(nearest, data, out=tmp_path / "nearest")
    assert difference(tmp_path / "first" / "adapter", tmp_path / "nearest" / "adapter") > 0.0
