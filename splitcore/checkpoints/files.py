"""A half's checkpoints: its whole state after a step, each in a folder that is there as a whole or not at all.

`step-00000040/` holds one safetensors file for each part of the half's state, and `state.json` with whose it is, the
SHA-256 of every file and a seal over itself. What does not verify does not exist for a resumption.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from splitcore.adapters.segments import json_bytes, write_folder
from splitcore.errors import AppError

STATE, ATTEMPT = "state.json", "attempt"
_FORMAT = 1
_FOLDER = re.compile(r"step-(\d{8,12})")

Tensors = dict[str, torch.Tensor]


class Part(Protocol):
    """A part of a half that remembers something of the steps so far."""

    def state(self) -> Tensors:
        """What it remembers, as of the end of the last completed step; counters are 0-d tensors."""

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take back what `state` gave; called once, before the first step."""


@dataclass(frozen=True)
class Owner:
    """Whose checkpoints they are: another party, configuration, contract or data set cannot take them up."""

    party: str
    config_hash: str
    contract: str
    data: str = ""


def _nothing(_step: int = 0) -> None:
    """Nobody listens."""


class Checkpoints:
    """The checkpoints of one half in one folder, which outlives the half's process."""

    def __init__(
        self,
        folder: Path,
        owner: Owner,
        *,
        keep: int = 3,
        attempt: int = 1,
        ignored: Callable[[int], None] = _nothing,
        between: Callable[[], None] = _nothing,
    ) -> None:
        """Claim the folder for an attempt. Raises AppError CL-1503 where a newer one has it.

        keep: newest checkpoints that stay. ignored: told the step of each that does not verify. between: called after
        each file of a checkpoint is written.
        """
        self._folder, self._owner, self._keep, self._attempt = folder, owner, keep, attempt
        self._ignored, self._between = ignored, between
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fence()
        write_text(folder / ATTEMPT, str(attempt))
        for leftover in folder.glob(".step-*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def held(self) -> dict[int, str]:
        """Step → branch of every checkpoint that verifies, the oldest first."""
        return {step: found[0] for step in self._steps() if (found := self._read(step)) is not None}

    def newest(self) -> Path | None:
        """The folder of the newest checkpoint."""
        steps = self._steps()
        return self._path(steps[-1]) if steps else None

    def save(self, step: int, branch: str, parts: Mapping[str, Mapping[str, torch.Tensor]]) -> Path:
        """Write the state after `step` steps atomically, then drop what is too old.

        branch: the line of attempts that it belongs to, see `newest_common`. Raises AppError CL-1503, OSError.
        """
        self._fence()
        files = {f"{name}.safetensors": _bytes_of(tensors) for name, tensors in parts.items()}
        files[STATE] = _sealed(
            {
                "format": _FORMAT,
                "step": step,
                "branch": branch,
                "owner": asdict(self._owner),
                "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
            }
        )
        write_folder(self._path(step), files, between=self._between)
        for old in self._steps()[: -self._keep]:
            shutil.rmtree(self._path(old), ignore_errors=True)
        return self._path(step)

    def load(self, step: int) -> dict[str, Tensors]:
        """The parts of a checkpoint. Raises AppError CL-1505."""
        found = self._read(step)
        if found is None:
            raise AppError("CL-1505", f"There is no complete checkpoint of step {step}.")
        return {name.removesuffix(".safetensors"): load(content) for name, content in found[1].items()}

    def drop_newer(self, step: int) -> None:
        """Forget what came after `step`: training goes on from there."""
        self._fence()
        for newer in self._steps():
            if newer > step:
                shutil.rmtree(self._path(newer), ignore_errors=True)

    # ---- inside

    def _path(self, step: int) -> Path:
        return self._folder / f"step-{step:08d}"

    def _steps(self) -> list[int]:
        return checkpoint_steps(self._folder)

    def _fence(self) -> None:
        """A process of an older attempt that comes back must not touch what the newer one relies on."""
        newest = claimed_attempt(self._folder)
        if newest > self._attempt:
            raise AppError("CL-1503", "A newer attempt has taken over this half's checkpoints.")

    def _read(self, step: int) -> tuple[str, dict[str, bytes]] | None:
        """Branch and files of a checkpoint, None where anything about it is not as it was written."""
        folder = self._path(step)
        try:
            state = json.loads((folder / STATE).read_bytes())
            files = {name: (folder / name).read_bytes() for name in state["files"]}
            whole = (
                _sealed({key: value for key, value in state.items() if key != "seal"}) == json_bytes(state)
                and state["format"] == _FORMAT
                and state["step"] == step
                and state["owner"] == asdict(self._owner)
                and all(hashlib.sha256(files[name]).hexdigest() == known for name, known in state["files"].items())
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError, SafetensorError):
            whole = False
        if not whole:
            self._ignored(step)
            return None
        return str(state["branch"]), files


def newest_common(held: Sequence[Mapping[int, str]]) -> int:
    """The newest step of which every half holds a checkpoint of the same branch; 0, the initial state, if none.

    Two halves' checkpoints of one step belong together only when they were written in the same attempt: only then is
    it sure that they saw the same messages.
    """
    first, *others = held
    common = [step for step, branch in first.items() if all(other.get(step) == branch for other in others)]
    return max(common, default=0)


def checkpoint_steps(folder: Path) -> list[int]:
    """Steps of the checkpoints in a half's folder, verified or not, the oldest first."""
    found = (_FOLDER.fullmatch(path.name) for path in folder.glob("step-*"))
    return sorted(int(match[1]) for match in found if match)


def claimed_attempt(folder: Path) -> int:
    """The newest attempt that has used a half's folder; 0 for none."""
    try:
        return int((folder / ATTEMPT).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def write_text(path: Path, text: str) -> None:
    """Write a small file so that a reader sees all of it or what was there before."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _bytes_of(tensors: Mapping[str, torch.Tensor]) -> bytes:
    return save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})


def _sealed(state: dict[str, Any]) -> bytes:
    return json_bytes({**state, "seal": hashlib.sha256(json_bytes(state)).hexdigest()})
