"""The sampler: standard normal numbers, from the secret alone."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from splitcore.errors import AppError
from splitcore.privacy.noise import Noise
from splitcore.privacy.secret import BYTES, NAME, job_secret

KEY = bytes(range(32))


def test_the_numbers_are_standard_normal() -> None:
    values = np.sort(Noise(KEY).normal(b"release", 200_000).double().numpy())
    below = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in values])
    steps = np.arange(len(values) + 1) / len(values)
    distance = max(float((steps[1:] - below).max()), float((below - steps[:-1]).max()))
    assert distance < 1.63 / math.sqrt(len(values))  # Kolmogorov and Smirnov, at one per cent
    assert float(values.std()) == pytest.approx(1.0, abs=0.01)
    assert np.abs(values).max() > 4.0


def test_numbers_beside_each_other_and_of_two_releases_have_nothing_in_common() -> None:
    one, other = (Noise(KEY).normal(label, 100_000).double() for label in (b"one", b"other"))
    for left, right in ((one, other), (one[:-1], one[1:]), (one[0::2], one[1::2])):
        assert abs(float(torch.corrcoef(torch.stack([left, right]))[0, 1])) < 0.02


def test_the_noise_follows_from_secret_and_release_and_from_no_generator_of_torch() -> None:
    drawn = []
    for seed in (7, 7 + 2**32, 8):
        torch.manual_seed(seed)
        drawn.append(Noise(KEY).normal(b"release", 64))
    assert all(torch.equal(left, right) for left, right in pairwise(drawn))
    assert not torch.equal(drawn[0], Noise(KEY).normal(b"Release", 64))
    secrets = [KEY[:place] + bytes([KEY[place] ^ 1]) + KEY[place + 1 :] for place in (0, 4, 31)]
    others = [Noise(secret).normal(b"release", 64) for secret in secrets]
    assert not any(torch.equal(drawn[0], other) for other in others)


def test_the_first_numbers_do_not_depend_on_how_many_are_drawn() -> None:
    assert torch.equal(Noise(KEY).normal(b"release", 7), Noise(KEY).normal(b"release", 1000)[:7])


def test_a_job_has_one_secret_which_nobody_else_may_read(tmp_path: Path) -> None:
    first = job_secret(tmp_path / "job")
    assert len(first) == BYTES
    assert job_secret(tmp_path / "job") == first
    assert job_secret(tmp_path / "other") != first
    assert (tmp_path / "job" / NAME).stat().st_mode & 0o777 == 0o600
    for damaged in (first[:16], bytes(BYTES)):
        (tmp_path / "job" / NAME).write_bytes(damaged)
        with pytest.raises(AppError, match="CL-1536"):
            job_secret(tmp_path / "job")


def test_a_secret_that_is_a_link_to_nowhere_is_refused_and_made_nowhere(tmp_path: Path) -> None:
    (tmp_path / NAME).symlink_to(tmp_path / "gone")
    with pytest.raises(AppError, match="CL-1536"):
        job_secret(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
