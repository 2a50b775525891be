"""What both halves share: settings, the plan of a run, watching what is wanted of them, their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import sleep
from typing import Literal, TypeAlias

import torch
from torch import nn
from transformers import PreTrainedConfig

from splitcore.adapters.lora import (
    AdapterLayout,
    adapter_layout,
    adapter_parameters,
    config_dict,
    initialise,
    lora_config,
    place,
    weights_bytes,
)
from splitcore.adapters.segments import SegmentInfo, segment_files, write_folder
from splitcore.config import Exchange, LoraSection, RunConfig, config_hash, exchange_of, override_problems
from splitcore.config.exchange import evaluates_at, own_steps, whose_turn
from splitcore.errors import AppError
from splitcore.models.admission import admit
from splitcore.models.carve import Segment, hidden_width, layer_count
from splitcore.models.loading import load_segment, locate, locate_configuration, read_config
from splitcore.models.manifest import Manifest
from splitcore.models.plan import Role, SegmentPlan, segment_plans
from splitcore.models.recompute import return_large_blocks
from splitcore.training.events import Event, PhaseChanged
from splitcore.training.optim import moment_shapes
from splitcore.wire.limits import FrameLimits, MessageRule, TensorRule, session_limits
from splitcore.wire.messages import Kind, Phase, SessionIds

Desired: TypeAlias = Literal["run", "pause", "stop"]
SLICE = 0.2  # seconds between looks at what is wanted
MAX_SAMPLES = 8  # prompts that are answered at each evaluation
MAX_IN_FLIGHT_BYTES = 1 << 28
PINNING_BYTES = 1 << 27  # activations of all parties from which it pays to map each large tensor by itself


class StoppedError(Exception):
    """This half was asked to stop, by its own site or by the other half."""


def _ignore(_event: Event) -> None:
    """Nobody listens."""


def _unseen(_stage: str, _step: int) -> None:
    """Nobody watches."""


def _run() -> Desired:
    """Nobody interferes."""
    return "run"


@dataclass(frozen=True)
class HalfSettings:
    """What a half is given; see the fields' comments. `emit` and `control` are called often: keep them cheap."""

    config: RunConfig
    parties: Sequence[str]  # every data party, in the contract's order
    model_source: str | Path  # local folder, or id on the model hub
    out: Path  # segments and checkpoints are written here
    run: str = "run"
    contract: str = ""  # hash of the contract; both halves must show the same
    manifest: Manifest | None = None  # what the base model is verified against
    device: str | None = None  # None: cuda where there is one
    emit: Callable[[Event], None] = _ignore
    control: Callable[[], Desired] = _run
    checkpoints: Path | None = None  # this half's own folder, which outlives the attempt; see training/keeper.py
    observe: Callable[[str, int], None] = _unseen  # stage or point, step: for drills


@dataclass(frozen=True)
class HalfResult:
    """How a half ended."""

    status: Literal["done", "stopped"]
    step: int
    uplink_bytes: int
    downlink_bytes: int
    seconds: dict[str, float]
    segments: list[Path] = field(default_factory=list)
    checkpoint: Path | None = None  # the newest, where it was stopped


@dataclass(frozen=True)
class Relay:
    """Head and tail adapters on their way from client to client."""

    giver: str
    heir: str | None  # whose turn is next, where it is another's
    takers: list[str]


@dataclass(frozen=True)
class Blueprint:
    """Everything that follows from configuration and model before a weight is loaded."""

    settings: HalfSettings
    folder: Path  # configuration and tokenizer; the weights too, where they were here before
    model_config: PreTrainedConfig
    plans: dict[Role, SegmentPlan]
    device: str

    def layout(self, lora: LoraSection) -> AdapterLayout:
        """The adapter's layout on the unsplit model."""
        return adapter_layout(self.model_config, lora, frozen_layers(self.settings.config))

    @property
    def exchange(self) -> Exchange:
        """What the parties' adapters have to do with each other."""
        return exchange_of(self.settings.config.schedule, len(self.settings.parties))

    @property
    def shared(self) -> bool:
        """Whether head and tail gradients of several parties are summed in every step."""
        return self.exchange.gradients

    @property
    def grouped(self) -> bool:
        """Whether the body computes a micro-batch of all parties at once."""
        parties, schedule = self.settings.parties, self.settings.config.schedule
        return schedule.group_clients and len(parties) > 1 and not self.exchange.in_turn

    def averages_after(self, step: int, total: int) -> bool:
        """Whether weights are averaged after step `step` (from 0)."""
        every = self.exchange.average_every
        return every > 0 and ((step + 1) % every == 0 or step + 1 == total)

    def active(self, step: int) -> list[str]:
        """The parties that train in step `step`, in the contract's order."""
        parties = list(self.settings.parties)
        if not self.exchange.in_turn:
            return parties
        return [parties[whose_turn(self.settings.config.schedule, len(parties), step)]]

    def evaluates_at(self, step: int, total: int) -> bool:
        """Whether parties measure held-out rows before step `step`, or after the last."""
        return evaluates_at(self.settings.config, step, total)

    def own_step(self, party: str, step: int) -> int:
        """Steps that `party` has trained in before `step`."""
        parties = list(self.settings.parties)
        return own_steps(self.settings.config.schedule, len(parties), parties.index(party), step)

    def relay_after(self, step: int, total: int) -> Relay | None:
        """Who hands head and tail on after step `step`, and to whom; None where nothing is handed on.

        The next one gets them with the optimiser's moments; where an evaluation follows, everyone gets the weights.
        """
        if not self.exchange.relays:
            return None
        giver, done = self.active(step)[0], step + 1
        heir = self.active(done)[0] if done < total else giver
        everyone = evaluates_at(self.settings.config, done, total)
        takers = [p for p in self.settings.parties if p != giver and (everyone or p == heir)]
        return Relay(giver, heir if heir != giver else None, takers) if takers else None


def frozen_layers(config: RunConfig) -> int:
    """How many first layers have no adapter."""
    return 0 if config.lora.train_head else config.split.head_layers


def check_parties(config: RunConfig, parties: Sequence[str]) -> None:
    """Refuse overrides that this schedule cannot honour. Raises AppError CL-1001."""
    if not parties or len(set(parties)) != len(parties):
        raise AppError("CL-1001", "A run needs data parties, each with a name of its own.")
    for problem in override_problems(config, parties):
        raise AppError("CL-1001", f"{problem['field']}: {problem['message']}")


def blueprint(settings: HalfSettings) -> Blueprint:
    """Read and check the base model's configuration. Raises AppError CL-1001, 1002, 1101, 1103, 1104."""
    config = settings.config
    check_parties(config, settings.parties)
    pinned = config.model.manifest
    if pinned and settings.manifest is not None and settings.manifest.hash() != pinned:
        raise AppError("CL-1104", "The manifest of this site's base model is not the one of the contract.")
    folder = locate_configuration(settings.model_source, revision=config.model.revision)
    model_config = read_config(folder)
    split = config.split
    plans = segment_plans(split.topology, split.head_layers, split.tail_layers, layer_count(model_config))
    device = settings.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return Blueprint(settings, folder, model_config, plans, device)


def admit_model(plan: Blueprint) -> None:
    """The admission test, before anything is loaded. Raises AppError CL-1101."""
    admit(plan.model_config, plan.settings.config.split.topology)


def load_with_adapter(plan: Blueprint, role: Role, layout: AdapterLayout, lora: LoraSection) -> Segment:
    """A segment with its initial adapter."""
    settings, config = plan.settings, plan.settings.config
    own = [cut for name, cut in plan.plans.items() if (name == "body") == (role == "body")]  # of this role's party
    folder = locate(settings.model_source, revision=plan.folder.name, plans=own, manifest=settings.manifest)
    segment = load_segment(folder, plan.plans[role], config.model, device=plan.device, manifest=settings.manifest)
    place(segment.model, layout, lora)
    initialise(segment.model, config.training.seed)
    recompute = config.training.gradient_checkpointing
    if plan.device == "cpu" and (recompute or (role == "body" and _pins_much(plan))):
        return_large_blocks()
    if recompute:
        segment.recompute(draws=lora.dropout > 0)
    return segment


def _pins_much(plan: Blueprint) -> bool:
    """Whether what several parties hold of the body would pin much memory that was freed between.

    A tensor that is mapped by itself costs the kernel a fault a page, a third of a small body's CPU time; what small
    rows can pin is little. About 20 hidden widths are held a token and layer (see `planning.memory.saved_values`).
    """
    settings, cut = plan.settings, plan.plans["body"]
    rows = sum(settings.config.for_party(party).training.batch_size for party in settings.parties)
    tokens = rows * settings.config.training.max_length
    held = tokens * (cut.end - cut.start) * 20 * hidden_width(plan.model_config) * 4
    return len(settings.parties) > 1 and held >= PINNING_BYTES


def named_adapter(*segments: Segment) -> dict[str, nn.Parameter]:
    """Canonical name → parameter of the segments' adapters."""
    return {name: parameter for segment in segments for name, parameter in adapter_parameters(segment.model)}


def public_name(name: str) -> str:
    """The base model's name as it may be published: an id, or the last part of a folder's path."""
    is_path = name.startswith(("/", ".", "~")) or Path(name).is_dir()
    return Path(name).name if is_path else name


def write_segment(
    plan: Blueprint, segment: Segment, layout: AdapterLayout, lora: LoraSection, *, party: str, step: int, folder: Path
) -> Path:
    """Write a segment's adapter files into `folder`/<role>."""
    model, cut = plan.settings.config.model, segment.plan
    model = model.model_copy(update={"name_or_path": public_name(model.name_or_path)})
    info = SegmentInfo(
        cut.role, cut.start, cut.end, cut.total, party, step, model.name_or_path, model.revision, model.manifest
    )
    weights = weights_bytes(dict(adapter_parameters(segment.model)))
    target = folder / cut.role
    write_folder(target, segment_files(info, config_dict(lora_config(layout, lora, model)), weights))
    return target


def micro_rows(config: RunConfig, party: str) -> int:
    """Rows of one micro-batch."""
    training = config.for_party(party).training
    return training.batch_size // training.micro_batches


def in_flight(config: RunConfig, party: str, width: int) -> int:
    """Micro-batches that may be under way: all of them, unless they would fill the wire's window."""
    nbytes = micro_rows(config, party) * config.training.max_length * width * 4
    return max(1, min(config.training.micro_batches, MAX_IN_FLIGHT_BYTES // max(1, nbytes)))


def wire_limits(
    plan: Blueprint, party: str, side: Literal["client", "server"], layout: AdapterLayout, body: set[str], attempt: int
) -> FrameLimits:
    """What `side` accepts in the conversation with `party`; `body` names the adapter tensors of the body."""
    config = plan.settings.config
    ends = {name: shape for name, shape in layout.shapes.items() if name not in body}
    moments = moment_shapes(ends, config.training) if plan.exchange.relays else {}
    text = plan.model_config.get_text_config(decoder=True)
    limits = session_limits(
        SessionIds(plan.settings.run, party, attempt),
        side,
        rows=max(micro_rows(config, party), MAX_SAMPLES),
        length=config.training.max_length,
        width=hidden_width(plan.model_config),
        vocabulary=text.vocab_size,
        adapters=ends | moments if plan.exchange.ends_cross else {},
        activations=config.wire.activations,
        gradients=config.wire.gradients,
        labels=config.split.topology == "vanilla",
        padding=not (config.wire.skip_padding or config.wire.changes or config.training.cache_activations),
        changes=config.wire.changes,
        kept=config.training.cache_activations,
    )
    rules = dict(limits.rules)
    weights = rules.pop((Kind.ADAPTER_WEIGHTS, Phase.NONE))
    if plan.exchange.relays or plan.exchange.average_every:
        optional = {n: replace(rule, required=n not in moments) for n, rule in weights.tensors.items()}
        rules[Kind.ADAPTER_WEIGHTS, Phase.NONE] = MessageRule(optional)
    del rules[Kind.NORMS, Phase.NONE]
    if side == "client" and not plan.shared:
        rules[Kind.AGGREGATE, Phase.NONE] = MessageRule()
    elif side == "server" and not plan.shared:
        del rules[Kind.ADAPTER_GRADIENTS, Phase.NONE]
        norms = TensorRule(frozenset({"fp32"}), ((0, len(ends)),))
        rules[Kind.NORMS, Phase.NONE] = MessageRule({"norms": norms})
    return replace(limits, rules=rules, max_frame_bytes=limits.max_frame_bytes + 4 * len(ends))


class Watch:
    """What is wanted of this half, and telling what it does."""

    def __init__(self, settings: HalfSettings, party: str) -> None:
        self._settings, self.party = settings, party
        self.step = 0
        self.on_pause: Callable[[], object] = lambda: None
        self._phase = ""

    def emit(self, event: Event) -> None:
        """Pass an event on."""
        self._settings.emit(event)

    def phase(self, phase: str) -> None:
        """Tell that the half does something else now."""
        if phase != self._phase:
            self._phase = phase
            self.emit(PhaseChanged(self.party, self.step, phase))

    def gate(self) -> None:
        """Go on, wait while a pause is wanted, or raise StoppedError."""
        before = self._phase
        while (wanted := self.wanted()) == "pause":
            if self._phase != "paused":
                self.phase("paused")
                self.on_pause()
            sleep(SLICE / 2)
        if wanted == "stop":
            raise StoppedError
        self.phase(before)

    def wanted(self) -> Desired:
        """What the site or the hub wants of this half now."""
        return self._settings.control()


def hello_body(plan: Blueprint) -> Mapping[str, str | int | None]:
    """What a client shows of itself and the server must show too; its rows and checkpoints come on top."""
    settings = plan.settings
    return {
        "protocol": 2,
        "contract": settings.contract,
        "config": config_hash(settings.config),
        "manifest": settings.manifest.hash() if settings.manifest else None,
        "parties": ",".join(settings.parties),
    }
