"""The demo's options: the same runs, measured less often."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.main_job import main, progress_text
from demo.recipe import RECIPE


@pytest.mark.parametrize("wrong", ["-1", str(RECIPE["training"]["steps"] + 1), "often"])
def test_an_interval_without_sense_is_refused_before_anything_starts(
    wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--once", "--folder", str(tmp_path / "demo"), f"--eval-every={wrong}"])
    assert ended.value.code == 2
    assert "--eval-every" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


def test_the_line_of_a_run_names_which_loss_it_shows() -> None:
    run = {"name": "Together", "state": "awaiting_approval", "summary": None}
    assert progress_text(run) == "Together: awaiting approval"
    assert progress_text({**run, "summary": {"loss_after": 5.63}}).endswith(", held-out loss 5.630")
