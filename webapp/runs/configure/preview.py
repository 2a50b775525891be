"""The sticky preview: what runs, whether it fits, bytes, time, and who sees what; computed as a person types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

from splitcore.config import RunConfig, decided, idle_fields
from splitcore.config.spending import spending_words
from splitcore.errors import AppError
from splitcore.flows.matrix import Matrix
from splitcore.planning import Plan, Range, estimate
from webapp.datasets.models import DatasetVersion
from webapp.fleet.models import Worker
from webapp.projects.models import Project
from webapp.runs.configure.forms import Problem
from webapp.runs.configure.options import ModelOption, PartyOptions, model_options
from webapp.runs.configure.privacy import Party, cut_warnings, who_sees_what
from webapp.runs.configure.schema import spec_at
from webapp.runs.configure.speeds import KnownSpeeds, known_speeds, row_lengths
from webapp.runs.configure.truncated import truncated_warnings
from webapp.runs.models import ParticipantRole
from webapp.runs.services import PartyChoice

_TIGHT = 0.8
_MODEL = "f-model-name_or_path"


@dataclass(frozen=True)
class MemoryLine:
    """One role's memory against what its worker has."""

    name: str
    worker: str
    expected: float
    high: float
    available: int
    reason: str

    @property
    def verdict(self) -> str:
        """fits, tight, blocked (will not fit), or unknown."""
        if not self.available:
            return "unknown"
        if self.expected > self.available:
            return "blocked"
        return "fits" if self.high <= self.available * _TIGHT else "tight"

    @property
    def words(self) -> str:
        """The verdict for people."""
        words = {"blocked": "Won't fit", "unknown": "Not known", "fits": "Fits", "tight": "Tight"}
        return words[self.verdict]


@dataclass(frozen=True)
class LayerCell:
    """One layer in the picture of the split."""

    number: int
    holder: str  # head | body | tail


@dataclass
class Preview:
    """Everything that the preview shows."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    config: RunConfig | None = None
    model: ModelOption | None = None
    layers: list[LayerCell] = field(default_factory=list)
    memory: list[MemoryLine] = field(default_factory=list)
    plan: Plan | None = None
    steps: int | None = None
    matrix: Matrix | None = None
    parties: list[Party] = field(default_factory=list)
    speeds: KnownSpeeds | None = None

    @property
    def epsilon(self) -> str:
        """What hidden states of a row will have spent, in words."""
        clients = sum(party.role == ParticipantRole.CLIENT for party in self.parties)
        return spending_words(self.config, max(1, clients)) if self.config is not None else ""

    @property
    def bottleneck(self) -> str:
        """What bounds a step, in words."""
        words = {
            "client": "a data organisation's computation",
            "server": "the compute organisation's computation",
            "uplink": "the network to the compute site",
            "downlink": "the network back",
        }
        stage = self.plan.time.bottleneck if self.plan else None
        return words[stage] if stage else "not known yet"

    @property
    def next_word(self) -> str:
        """What the main button says: the next missing thing."""
        if self.problems:
            count = len(self.problems)
            return f"Fix {count} problem{'s' if count > 1 else ''} first"
        count = len({party.name for party in self.parties})
        return f"Request approval ({count} organisations)"


def preview_build(
    project: Project,
    config: RunConfig | None,
    options: PartyOptions,
    problems: Sequence[Problem],
    *,
    prompts: bool = False,
) -> Preview:
    """Compute the preview for what stands in the form."""
    choices = options.choices()
    workers = {
        w.id: w for w in Worker.objects.filter(id__in=[c.worker_id for c in choices]).select_related("organisation")
    }
    preview = Preview(problems=[*problems, *_party_problems(options)], config=config)
    preview.parties = [
        Party(workers[c.worker_id].organisation.name, c.role, c.receives_adapter)
        for c in choices
        if c.worker_id in workers
    ]
    if config is None:
        return preview
    config = decided(config, [party.name for party in preview.parties if party.role == ParticipantRole.CLIENT])
    versions = _versions(choices)
    preview.warnings = [*cut_warnings(config), *idle_warnings(config), *truncated_warnings(config, versions)]
    preview.matrix = who_sees_what(config, preview.parties, prompts=prompts)
    models = {option.model_id: option for option in model_options(project, [c.worker_id for c in choices])}
    preview.model = models.get(config.model.name_or_path)
    if preview.model is None:
        preview.problems.append(Problem("None of the chosen workers has a base model with this name.", _MODEL))
        return preview
    if choices and preview.model.explanation:
        preview.problems.append(Problem(f"{config.model.name_or_path}: {preview.model.explanation}", _MODEL))
    _plan(preview, config, preview.model, options, workers, versions)
    return preview


def _party_problems(options: PartyOptions) -> list[Problem]:
    choices = options.choices()
    found = [
        Problem(f"{option.organisation.name}: {option.error}", option.element_id)
        for option in options.data
        if option.error
    ]
    if options.server_error:
        found.append(Problem(options.server_error, "server"))
    if not any(c.role == ParticipantRole.CLIENT for c in choices):
        found.append(Problem("Choose at least one organisation's dataset to train on.", "section-parties"))
    if not any(c.role == ParticipantRole.SERVER for c in choices):
        found.append(Problem("Choose a compute worker.", "server"))
    return found


def _plan(
    preview: Preview,
    config: RunConfig,
    model: ModelOption,
    options: PartyOptions,
    workers: dict[str, Worker],
    versions: list[DatasetVersion],
) -> None:
    choices = options.choices()
    clients = {name: workers[worker_id] for name, worker_id in options.trainers_workers.items()}
    preview.layers = layer_cells(config, model.layers)
    preview.steps = config.training.steps or _epoch_steps(config, versions)
    shape = model.shape
    if shape is None:
        preview.warnings.append(model.layout_warning)
        return
    try:
        preview.speeds = known_speeds(config, shape, choices, workers)
        training = config.training.model_copy(update={"steps": preview.steps})
        preview.plan = estimate(
            config.model_copy(update={"training": training}),
            shape,
            list(clients) or 1,
            lengths=row_lengths(versions),
            speeds=preview.speeds.speeds,
        )
    except AppError as error:
        preview.problems.append(Problem(error.message, "f-split-head_layers" if error.code == "CL-1002" else _MODEL))
        return
    servers = [workers[choice.worker_id] for choice in choices if choice.role == ParticipantRole.SERVER]
    plans = preview.plan.clients
    preview.memory = [_memory_line(worker, plans[name].memory.total) for name, worker in clients.items()]
    preview.memory += [_memory_line(worker, preview.plan.server_memory.total) for worker in servers]
    preview.warnings += [f"{m.name}: the estimate exceeds {m.worker}'s memory." for m in preview.memory
                         if m.verdict == "blocked"]  # fmt: skip


def _memory_line(worker: Worker, total: Range) -> MemoryLine:
    return MemoryLine(worker.organisation.name, worker.name, total.expected, total.high, capacity(worker), total.reason)


def _versions(choices: list[PartyChoice]) -> list[DatasetVersion]:
    """The chosen datasets that are trained on."""
    ids = [c.dataset_version_id for c in choices if c.role == ParticipantRole.CLIENT]
    return list(DatasetVersion.objects.filter(id__in=ids).select_related("dataset__organisation"))


def _epoch_steps(config: RunConfig, versions: list[DatasetVersion]) -> int | None:
    """Steps that the epochs come to over the largest chosen dataset."""
    rows = [int(version.metadata.get("train_rows") or 0) for version in versions]
    if not rows or not max(rows):
        return None
    return max(1, ceil(max(rows) / config.training.batch_size * float(config.training.epochs or 1)))


def idle_warnings(config: RunConfig) -> list[str]:
    """What was set and has no effect, in words."""
    found = []
    for item in idle_fields(config):
        spec = spec_at(item["field"])
        found.append(f"{spec.label if spec else item['field']} has no effect: {item['message']}.")
    return found


def layer_cells(config: RunConfig, layers: int) -> list[LayerCell]:
    """The picture of the split, layer by layer."""
    head = config.split.head_layers
    tail = config.split.tail_layers if config.split.topology == "u_shape" else 0
    return [
        LayerCell(n, "head" if n < head else "tail" if n >= layers - tail else "body") for n in range(min(layers, 256))
    ]


def capacity(worker: Worker) -> int:
    """Bytes of the device that a worker computes on: its largest graphics card, else its memory."""
    gpus = [int(gpu.get("memory_bytes") or 0) for gpu in worker.facts.get("gpus") or []]
    return max(gpus, default=0) or int(worker.facts.get("memory_bytes") or 0)
