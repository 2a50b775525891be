"""When a half saves its state and how it takes it up again: the same for both sides."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

from splitcore.checkpoints.files import Checkpoints, Owner, Part, Tensors
from splitcore.config import config_hash
from splitcore.control.clock import Clock
from splitcore.control.controller import Controller
from splitcore.control.events import CheckpointChanged
from splitcore.data.tokenise import Encoded
from splitcore.errors import AppError
from splitcore.run.settings import HalfSettings
from splitcore.wire.protocol.messages import Json


class Checkpointer:
    """Saves a half's parts when it is time, and brings them back.

    Without `HalfSettings.checkpoints` nothing is saved on the way, only at a pause or a stop, below `out`.
    """

    def __init__(
        self,
        settings: HalfSettings,
        party: str,
        controller: Controller,
        clock: Clock,
        *,
        attempt: int = 1,
        data: str = "",
    ) -> None:
        """`data`: fingerprint of the rows, see `fingerprint`. Raises AppError CL-1503 for an older attempt."""
        training = settings.config.training
        self._controller, self._clock, self._party = controller, clock, party
        self._every = training.checkpoint_every if settings.checkpoints is not None else 0
        self._checkpoints = Checkpoints(
            settings.checkpoint_folder,
            Owner(party, config_hash(settings.config), settings.contract, data),
            keep=training.checkpoints_kept,
            attempt=attempt,
            ignored=lambda step: controller.emit(CheckpointChanged(party, step, "ignored")),
            between=lambda: clock.point("checkpoint_write"),
        )
        self._parts: dict[str, Part] = {}
        self._branch = ""
        self._complete = 0  # the step whose state the parts are in
        self._saved: int | None = None

    def held(self) -> dict[int, str]:
        """Step → branch of each whole checkpoint."""
        return self._checkpoints.held()

    def begin(self, step: int, branch: str, parts: Mapping[str, Part]) -> None:
        """Go on from `step`, which both sides have agreed on; 0 is the state as it was loaded.

        Raises AppError CL-1505 where this half does not have it.
        """
        self._parts, self._branch, self._complete = dict(parts), branch, step
        self._checkpoints.drop_newer(step)
        if not step:
            return
        saved = self._checkpoints.load(step)
        if saved.keys() != self._parts.keys():
            raise AppError("CL-1505", "The checkpoint's parts differ from those of this version.")
        for name, part in self._parts.items():
            part.restore(saved[name])
        self._saved = step
        self._controller.emit(CheckpointChanged(self._party, step, "resumed"))

    def complete(self, step: int, total: int) -> None:
        """`step` steps are complete on this side: save where that is due."""
        self._complete = step
        if self._every and (step % self._every == 0 or step == total):
            self.save(step)

    def save(self, step: int) -> Path | None:
        """Save the state after `step` steps and return the newest checkpoint; in the middle of an update, only that."""
        if self._parts and step == self._complete and step != self._saved:
            with self._clock.stage("checkpoint"):
                self._checkpoints.save(step, self._branch, {name: part.state() for name, part in self._parts.items()})
            self._saved = step
            self._controller.emit(CheckpointChanged(self._party, step, "saved"))
        return self._checkpoints.newest()

    def save_if_possible(self, step: int) -> None:
        """Save on the way out of a failure, which must not be hidden by another one; a stop that comes now waits."""
        with suppress(Exception):  # whoever is told may fail by what this module does not know
            self._controller.phase("stopping")
        with suppress(AppError, OSError):
            self.save(step)

    def updating(self) -> None:
        """The parts begin to change: until `complete`, they belong to no step."""
        self._complete = -1


def parts_of(parameters: Mapping[str, nn.Parameter], optimiser: Part, schedule: Part, skips: Part) -> dict[str, Part]:
    """The parts of either half."""
    return {"adapter": AdapterPart(parameters), "optimiser": optimiser, "schedule": schedule, "skips": skips}


class AdapterPart:
    """The weights of a half's adapter."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self._parameters = parameters

    def state(self) -> Tensors:
        """See `Part.state`."""
        return {name: parameter.detach() for name, parameter in self._parameters.items()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """See `Part.restore`. Raises AppError CL-1505 for other names or shapes."""
        if {name: value.shape for name, value in state.items()} != {n: p.shape for n, p in self._parameters.items()}:
            raise AppError("CL-1505", "The checkpoint's adapter has a different shape.")
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(state[name])


def fingerprint(rows: Sequence[Encoded]) -> str:
    """SHA-256 of all tokens and labels in their order. It stays in the half's own files."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(array("q", (len(row.ids), *row.ids, *row.labels)).tobytes())
    return digest.hexdigest()


def held_json(held: Mapping[int, str]) -> Json:
    """What `hello` carries of a half's checkpoints."""
    return {str(step): branch for step, branch in held.items()}


def held_from_json(data: Json) -> dict[int, str]:
    """Read `held_json`. Raises AppError CL-1505."""
    if not isinstance(data, dict) or not all(key.isascii() and key.isdigit() and len(key) <= 12 for key in data):
        raise AppError("CL-1505", "A half's list of checkpoints can't be read.")
    return {int(step): str(branch) for step, branch in data.items()}
