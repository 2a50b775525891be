"""Everything that follows from a run's configuration and its model before a weight is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedConfig

from splitcore.adapters.lora import AdapterLayout, adapter_layout
from splitcore.config import LoraSection, RunConfig, override_problems
from splitcore.config.length import evaluates_at
from splitcore.errors import AppError
from splitcore.models.carve import layer_count
from splitcore.models.classifier import classifier_config
from splitcore.models.loading import locate_configuration, read_config
from splitcore.models.plan import Role, SegmentPlan, segment_plans
from splitcore.run.settings import HalfSettings
from splitcore.schedules.interface import Exchange


@dataclass(frozen=True)
class Relay:
    """Head and tail adapters on their way from client to client."""

    sender: str
    successor: str | None  # whose turn is next, where it is another's
    receivers: list[str]


@dataclass(frozen=True)
class RunPlan:
    """Everything that follows from configuration and model before a weight is loaded."""

    settings: HalfSettings
    folder: Path  # configuration and tokenizer; the weights too, where they were here before
    model_config: PreTrainedConfig
    plans: dict[Role, SegmentPlan]
    device: str

    def layout(self, lora: LoraSection) -> AdapterLayout:
        """The adapter's layout on the unsplit model."""
        config = self.settings.config
        return adapter_layout(
            classifier_config(self.model_config, config.data.task.classes), lora, frozen_layers(config)
        )

    @property
    def exchange(self) -> Exchange:
        """What the parties' adapters have to do with each other."""
        return self.settings.config.schedule.exchange(len(self.settings.parties))

    @property
    def shared(self) -> bool:
        """Whether head and tail gradients of several parties are summed in every step."""
        return self.exchange.gradients

    @property
    def masked(self) -> bool:
        """Whether the server half may read no party's gradients or weights of head and tail, but their sum."""
        return self.settings.config.privacy.masks_sums and self.exchange.sums_ends

    @property
    def sealed(self) -> bool:
        """Whether head and tail that are handed on are encrypted for their receiver."""
        return self.settings.config.privacy.masks_sums and self.exchange.relays

    @property
    def grouped(self) -> bool:
        """Whether the body computes a micro-batch of all parties at once."""
        return self.settings.config.schedule.groups(len(self.settings.parties))

    @property
    def in_turn(self) -> bool:
        """Whether one of several parties trains in a step."""
        return len(self.settings.parties) > 1 and self.settings.config.schedule.in_turn

    def averages_ends_after(self, step: int, total: int) -> bool:
        """Whether weights of head and tail are averaged after step `step` (from 0)."""
        return _is_due(self.exchange.ends_averaged_every, step, total)

    def averages_bodies_after(self, step: int, total: int) -> bool:
        """Whether weights of the parties' own bodies are averaged after step `step` (from 0)."""
        return _is_due(self.exchange.bodies_averaged_every, step, total)

    def active(self, step: int) -> list[str]:
        """The parties that train in step `step`, in the contract's order."""
        parties = list(self.settings.parties)
        turn = self.settings.config.schedule.turn(len(parties), step)
        return parties if turn is None else [parties[turn]]

    def evaluates_at(self, step: int, total: int) -> bool:
        """Whether parties measure held-out rows before step `step`, or after the last."""
        return evaluates_at(self.settings.config, step, total)

    def own_step(self, party: str, step: int) -> int:
        """Steps that `party` has trained in before `step`."""
        parties = list(self.settings.parties)
        return self.settings.config.schedule.own_steps(len(parties), parties.index(party), step)

    def relay_after(self, step: int, total: int) -> Relay | None:
        """Who hands head and tail on after step `step`, and to whom; None where nothing is handed on.

        The next one gets them with the optimiser's moments; where an evaluation follows, everyone gets the weights.
        """
        if not self.exchange.relays:
            return None
        sender, done = self.active(step)[0], step + 1
        successor = self.active(done)[0] if done < total else sender
        everyone = evaluates_at(self.settings.config, done, total)
        receivers = [p for p in self.settings.parties if p != sender and (everyone or p == successor)]
        return Relay(sender, successor if successor != sender else None, receivers) if receivers else None


def _is_due(every: int, step: int, total: int) -> bool:
    return every > 0 and ((step + 1) % every == 0 or step + 1 == total)


def frozen_layers(config: RunConfig) -> int:
    """How many first layers have no adapter."""
    return 0 if config.lora.train_head else config.split.head_layers


def check_parties(config: RunConfig, parties: Sequence[str]) -> None:
    """Refuse overrides that this schedule cannot honour. Raises AppError CL-1001."""
    if not parties or len(set(parties)) != len(parties):
        raise AppError("CL-1001", "A run needs data parties, each with a unique name.")
    for problem in override_problems(config, parties):
        raise AppError("CL-1001", f"{problem['field']}: {problem['message']}")


def run_plan(settings: HalfSettings) -> RunPlan:
    """Read and check the base model's configuration. Raises AppError CL-1001, 1002, 1101, 1103, 1104."""
    config = settings.config
    check_parties(config, settings.parties)
    pinned = config.model.manifest
    if pinned and settings.manifest is not None and settings.manifest.hash() != pinned:
        raise AppError("CL-1104", "The manifest of this site's base model differs from the contract's.")
    folder = locate_configuration(settings.model_source, revision=config.model.revision)
    model_config = read_config(folder)
    split = config.split
    plans = segment_plans(split.topology, split.head_layers, split.tail_layers, layer_count(model_config))
    device = settings.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return RunPlan(settings, folder, model_config, plans, device)
