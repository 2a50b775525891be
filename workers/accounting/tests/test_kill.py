"""kill -9 in the middle of a step: the ledger has all that left, and a resumed run isn't charged for it twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from splitcore.models.tests.tiny import save_model
from workers.accounting.book import SpendingBook
from workers.accounting.tests.killed import DIGESTS

NEVER = 10**6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "llama", "llama")


def train(folder: Path, model: Path, head: str, kill_at: int = NEVER) -> int:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "workers.accounting.tests.killed", str(folder), str(model), head, str(kill_at)]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode


def charged(folder: Path) -> list[int]:
    """Releases of each row, by the ledger."""
    book = SpendingBook(folder / "privacy.sqlite3")
    found = []
    for number, digest in enumerate(DIGESTS):
        book.remember(f"row {number}", [digest])
        found.append(sum(run.releases for run in book.runs([f"row {number}"])))
    return found


def left(folder: Path) -> set[str]:
    """The different tensors that have left; each is of one row, since a micro-batch has one."""
    return set((folder / "left").read_text().split())


@pytest.mark.parametrize(
    ("head", "kills", "whole"),
    # in the first evaluation, in a step, and in the evaluation after the third
    [("frozen", [5], [1] * 6 + [1, 1]), ("trained", [1, 7], [1] * 6 + [3, 3])],
    ids=["frozen", "trained"],
)
def test_a_killed_run_is_charged_for_all_that_left_and_ends_with_what_a_whole_run_pays(
    model: Path, tmp_path: Path, head: str, kills: list[int], whole: list[int]
) -> None:
    for kill_at in kills:
        assert train(tmp_path / "run", model, head, kill_at) == -signal.SIGKILL
        assert sum(charged(tmp_path / "run")) >= len(left(tmp_path / "run"))
    assert train(tmp_path / "run", model, head) == 0
    assert len((tmp_path / "run" / "left").read_text().split()) > sum(whole), "nothing was sent twice"
    assert charged(tmp_path / "run") == whole
    assert sum(whole) == len(left(tmp_path / "run"))
