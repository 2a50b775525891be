"""The catalogue is kept in the order of its codes, so that a free number is seen at once."""

from __future__ import annotations

import pytest

from splitcore.errors import accounts, hub, runs, workers


@pytest.mark.parametrize("part", [accounts, hub, runs, workers], ids=lambda part: part.__name__.rsplit(".", 1)[-1])
def test_codes_stand_in_order(part):
    assert list(part.HELP) == sorted(part.HELP)
