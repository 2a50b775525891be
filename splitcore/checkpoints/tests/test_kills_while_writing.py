"""SIGKILL at every call on the file system while a half writes a checkpoint: both halves' checkpoints still agree."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from splitcore.checkpoints.files import Checkpoints, Owner, newest_common

EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "os.listdir", "os.scandir")
PLACES = 10  # of each half, at least


def half(folder: Path, party: str, attempt: int = 1) -> Checkpoints:
    return Checkpoints(folder / party, Owner(party, "config", "contract"), keep=2, attempt=attempt)


def save(checkpoints: Checkpoints, step: int) -> None:
    parts = {name: {"weights": torch.full((64,), float(step))} for name in ("adapter", "moments", "counters")}
    checkpoints.save(step, "first", parts)


def saved_by_a_process_that_dies(folder: Path, party: str, step: int, place: int) -> bool:
    """Save in a forked process, which kills itself at its `place`-th call on the file system; whether it did."""
    child = os.fork()
    if child == 0:
        checkpoints = half(folder, party)
        sys.addaudithook(_killer(str(folder), place))
        save(checkpoints, step)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def _killer(folder: str, place: int) -> Callable[[str, tuple[Any, ...]], None]:
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in EVENTS and arguments and str(arguments[0]).startswith(folder):
            seen += 1
            if seen == place:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


@pytest.mark.promise(23, figure="killed at every call on the file system, at least 10 places of each half")
@pytest.mark.parametrize(("dies", "other"), [("a", "server"), ("server", "a")])
def test_a_kill_while_a_checkpoint_is_written_leaves_a_pair_of_one_step(tmp_path: Path, dies: str, other: str) -> None:
    for party in (dies, other):
        for step in (2, 4):
            save(half(tmp_path / "begun", party), step)
    places = 0
    while True:
        folder = tmp_path / str(places)
        shutil.copytree(tmp_path / "begun", folder)
        if not saved_by_a_process_that_dies(folder, dies, 6, places + 1):
            break
        places += 1
        if places % 2:
            save(half(folder, other), 6)  # the other half may have come further, or not
        both = [half(folder, party, attempt=2) for party in (dies, other)]
        common = newest_common([one.held() for one in both])
        assert common in (4, 6), places
        for one in both:
            parts = one.load(common)
            assert {float(tensors["weights"][0]) for tensors in parts.values()} == {float(common)}, places
        assert not list((folder / dies).glob(".*"))
    save(both[0], 8)
    assert 8 in both[0].held(), "nothing that the last dead process has left is in the way"
    assert places >= PLACES
