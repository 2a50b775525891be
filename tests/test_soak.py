"""What the soak counts as growth; the soak itself is `make soak`."""

from __future__ import annotations

from tests.soak.living import Change, Reading


def test_growth_and_another_process_are_told() -> None:
    flat = Change("web", Reading(1, 1000, 20), Reading(1, 1040, 21))
    assert not flat.faults()
    assert "20 descriptors became 30" in Change("web", Reading(1, 1000, 20), Reading(1, 1000, 30)).faults()[0]
    assert "grew by 40%" in Change("web", Reading(1, 1000, 20), Reading(1, 1400, 20)).faults()[0]
    assert "another process" in Change("web", Reading(1, 1000, 20), Reading(2, 1000, 20)).faults()[0]
