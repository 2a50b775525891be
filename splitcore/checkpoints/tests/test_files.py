"""What a half keeps of itself: whole or not at all, its own, the last few, and never from two different pasts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from splitcore.checkpoints.files import Checkpoints, Owner, newest_common
from splitcore.errors import AppError

OWNER = Owner("a", "config", "contract", "rows")
PARTS = {"adapter": {"w": torch.arange(6.0)}, "schedule": {"count": torch.tensor(3)}}


def filled(folder: Path, *steps: int, keep: int = 3) -> Checkpoints:
    checkpoints = Checkpoints(folder, OWNER, keep=keep)
    for step in steps:
        checkpoints.save(step, f"branch-{step}", PARTS)
    return checkpoints


def test_what_is_saved_comes_back_and_only_the_newest_stay(tmp_path: Path) -> None:
    checkpoints = filled(tmp_path, 2, 4, 6, keep=2)
    assert checkpoints.held() == {4: "branch-4", 6: "branch-6"}
    loaded = Checkpoints(tmp_path, OWNER).load(6)
    assert loaded.keys() == PARTS.keys()
    assert torch.equal(loaded["adapter"]["w"], PARTS["adapter"]["w"])
    assert int(loaded["schedule"]["count"]) == 3


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def other_step(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "step": 2}))


DAMAGE: dict[str, Callable[[Path], None]] = {
    "a bit of the weights": lambda folder: flip(folder / "adapter.safetensors"),
    "a file cut short": lambda folder: (folder / "adapter.safetensors").write_bytes(b"\0" * 10),
    "a file that is gone": lambda folder: (folder / "schedule.safetensors").unlink(),
    "another step in its state": lambda folder: other_step(folder / "state.json"),
    "no state": lambda folder: (folder / "state.json").unlink(),
    "a state that is no object": lambda folder: (folder / "state.json").write_text("[]"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_ignored_with_a_word_and_the_older_one_counts(tmp_path: Path, damage: str) -> None:
    filled(tmp_path, 2, 4)
    DAMAGE[damage](tmp_path / "step-00000004")
    ignored: list[int] = []
    checkpoints = Checkpoints(tmp_path, OWNER, ignored=ignored.append)
    assert checkpoints.held() == {2: "branch-2"}
    assert ignored == [4]
    with pytest.raises(AppError, match="CL-1505"):
        checkpoints.load(4)


@pytest.mark.parametrize("field", ["party", "config_hash", "contract", "data"])
def test_checkpoints_of_another_party_configuration_contract_or_data_do_not_count(tmp_path: Path, field: str) -> None:
    filled(tmp_path, 2)
    assert Checkpoints(tmp_path, Owner(**{**vars(OWNER), field: "another"})).held() == {}


def test_what_a_killed_writer_left_is_cleared_away(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    (tmp_path / ".step-00000004.partial").mkdir()
    assert filled(tmp_path).held() == {2: "branch-2"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attempt", "step-00000002"]


def test_an_older_attempt_can_neither_save_nor_forget(tmp_path: Path) -> None:
    older = filled(tmp_path, 2)
    newer = Checkpoints(tmp_path, OWNER, attempt=2)
    for act in (lambda: older.save(4, "b", PARTS), lambda: older.drop_newer(0), lambda: Checkpoints(tmp_path, OWNER)):
        with pytest.raises(AppError, match="CL-1503"):
            act()
    assert newer.held() == {2: "branch-2"}


def test_checkpoints_of_one_step_from_different_attempts_do_not_belong_together() -> None:
    assert newest_common([{2: "x", 4: "y"}, {2: "x", 4: "y", 6: "y"}]) == 4
    assert newest_common([{2: "x", 4: "y"}, {2: "x", 4: "z"}]) == 2
    assert newest_common([{2: "x"}, {4: "x"}]) == 0
    assert newest_common([{}, {2: "x"}]) == 0
