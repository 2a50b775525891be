"""The catalogue is kept in the order of its codes, and tells of each what it means for a run."""

from __future__ import annotations

import pytest

from splitcore.errors import CATALOGUE, ErrorRole, accounts, hub, role_of, runs, workers


@pytest.mark.parametrize("part", [accounts, hub, runs, workers], ids=lambda part: part.__name__.rsplit(".", 1)[-1])
def test_codes_stand_in_order(part):
    assert list(part.HELP) == sorted(part.HELP)


def codes_of(role: ErrorRole) -> set[str]:
    return {code for code in CATALOGUE if role_of(code) is role}


def test_each_code_means_one_thing_for_a_run():
    assert codes_of(ErrorRole.HOLD) == {"CL-1532", "CL-1534"}
    assert codes_of(ErrorRole.RECOVERABLE) == {"CL-1520", "CL-1522", "CL-1523"}
    assert codes_of(ErrorRole.CONSEQUENCE) == {
        "CL-1306", "CL-1320", "CL-1321", "CL-1326", "CL-1327", "CL-1328", "CL-1329", "CL-1331",
        "CL-1503", "CL-1510", "CL-1530",
    }  # fmt: skip
    assert len(codes_of(ErrorRole.CAUSE)) > 100


def test_a_code_of_a_newer_worker_is_a_cause():
    assert role_of("CL-1599") is ErrorRole.CAUSE
