"""`make test` runs two passes side by side: neither may fail unseen."""

from __future__ import annotations

import pytest

from tests.suite import side_by_side


@pytest.mark.parametrize(("first", "second", "status"), [(0, 0, 0), (3, 0, 3), (0, 4, 4), (3, 4, 3)])
def test_a_failure_of_either_pass_is_the_status(first: int, second: int, status: int) -> None:
    assert side_by_side(("-c", f"raise SystemExit({first})"), ("-c", f"raise SystemExit({second})")) == status


def test_the_second_pass_is_waited_for_though_the_first_failed_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    later = "import time; time.sleep(0.5); print('one failed')"
    assert side_by_side(("-c", "raise SystemExit(3)"), ("-c", later)) == 3
    assert "one failed" in capsys.readouterr().out
