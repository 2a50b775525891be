"""Values planted in a carrier and released by the real defence: an enumerating attacker reaches the exact ceiling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from splitcore.ceilings.confidence import Hits
from splitcore.ceilings.secrets import bayes, likeliest
from splitcore.ceilings.tests.noisy_run import NoisyRun, noisy_config
from splitcore.models.loading import read_tokenizer
from splitcore.privacy.gaussian.config import Gaussian
from splitcore.privacy.noise import Noise

Model = Callable[[str], Path]
CARRIERS = ["note from ward {} of today", "seen at {} by the nurse", "bed {} is free", "case {} was closed at noon"]
CASES = {10: 0.5, 100: 0.4}  # values: noise
DRAWS, FEW, WIDTH = 20_000, 2_000, 16


class OneRow(Noise):
    """A mutant: one row's noise for all rows."""

    def normal(self, release: bytes, count: int) -> torch.Tensor:
        return super().normal(release, WIDTH).repeat(count // WIDTH)


class Planted:
    """A secret of so many values in four carriers."""

    def __init__(self, folder: Path, values: int) -> None:
        self.run = NoisyRun(noisy_config(folder, CASES[values]))
        tokenizer = read_tokenizer(self.run.plan.folder)
        digits = len(str(values - 1))
        written = [f"{value:0{digits}d}" for value in range(values)]
        tokens = [tokenizer(text, add_special_tokens=False).input_ids for text in written]
        self.places = list[int]()
        self.carriers = list[torch.Tensor]()
        for carrier in CARRIERS:
            self.places.append(len(tokenizer(carrier.partition("{}")[0]).input_ids))
            self.carriers.append(torch.tensor(tokenizer(carrier.format(written[0])).input_ids))
        pairs = list(zip(self.carriers, self.places, strict=True))
        self.whole = [
            self.run.head.planted(carrier_N, 0, self._filled(carrier_N, place, tokens)) for carrier_N, place in pairs
        ]
        self.ceiling = bayes(
            [self.run.head.planted(carrier_N, place, tokens) for carrier_N, place in pairs], 1.0, draws=100_000
        )

    @staticmethod
    def _filled(carrier_N: torch.Tensor, place: int, tokens: Sequence[Sequence[int]]) -> list[list[int]]:
        """The carrier with each value in it, as an attacker writes it who knows where it stands."""
        before, behind = carrier_N[:place].tolist(), carrier_N[place + len(tokens[0]) :].tolist()
        return [[*before, *value, *behind] for value in tokens]

    def attack(
        self, *, choice: Gaussian | None = None, noise: type[Noise] = Noise, aware: bool = False, draws: int = FEW
    ) -> Hits:
        """Enumerate the values behind releases of the defence. aware: that all rows have the same noise."""
        draw, right = torch.Generator().manual_seed(3), 0
        for number, rows_mF in enumerate(self.whole):
            rows_mND = rows_mF.reshape(len(rows_mF), -1, WIDTH)
            value_B = torch.randint(len(rows_mF), (draws // len(self.whole),), generator=draw)
            released = self.run.released(list(rows_mND[value_B]), secret=number + 1, choice=choice, noise=noise)
            released_BND = torch.stack(released) / self.run.choice.deviation
            if aware:
                released_BND, rows_mND = (one - one.mean(1, keepdim=True) for one in (released_BND, rows_mND))
            right += int((likeliest(released_BND.flatten(1), rows_mND.flatten(1)) == value_B).sum())
        return Hits(right, draws)


@pytest.fixture(scope="module", params=CASES)
def planted(model: Model, request: pytest.FixtureRequest) -> Planted:
    return Planted(model("llama"), request.param)


def test_an_attacker_who_enumerates_in_the_carrier_reaches_the_ceiling_and_does_not_pass_it(planted: Planted) -> None:
    attack = planted.attack(draws=DRAWS)
    assert 0.2 < planted.ceiling.value < 0.9
    assert attack.value == pytest.approx(planted.ceiling.value, abs=0.01)
    assert attack.lower() <= planted.ceiling.upper()


def test_half_the_declared_noise_passes_it(planted: Planted) -> None:
    declared = planted.run.choice
    halved = declared.model_copy(update={"noise": declared.noise / 2})
    assert planted.attack(choice=halved).lower() > planted.ceiling.upper() + 0.05


def test_noise_that_all_rows_share_passes_it_once_the_attacker_knows(planted: Planted) -> None:
    assert planted.attack(noise=OneRow, aware=True).lower() > planted.ceiling.upper() + 0.05
    assert planted.attack(aware=True).lower() <= planted.ceiling.upper()
