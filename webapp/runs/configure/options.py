"""What can be chosen in a project: datasets and compute workers, and which base model they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from splitcore.config import RunConfig
from splitcore.planning import ModelShape
from webapp.datasets.models import DatasetVersion
from webapp.fleet.models import Worker, WorkerModel, WorkerState
from webapp.fleet.presence import worker_is_online
from webapp.fleet.shared_models import shared_models, shared_shape, who_holds_which
from webapp.orgs.models import Organisation, PartyKind
from webapp.projects.models import Project
from webapp.runs.availability import label_problems
from webapp.runs.configure.overrides import DataParty
from webapp.runs.configure.policies import Site, format_clash
from webapp.runs.estimate import model_layers
from webapp.runs.models import ParticipantRole, Run
from webapp.runs.services import PartyChoice, party_names


@dataclass
class DataOption:
    """One dataset version that its organisation offers to the project."""

    version: DatasetVersion
    worker: Worker
    online: bool

    @property
    def text(self) -> str:
        """How the list names it."""
        meta = self.version.metadata
        presence = "online" if self.online else "offline"
        rows = f"{meta.get('train_rows', meta.get('rows', 0))} rows"
        return f"{self.version.dataset.name} v{self.version.number} · {rows} · {self.worker.name} ({presence})"


@dataclass
class OrganisationOption:
    """One member of the project, and what it brings."""

    organisation: Organisation
    place: int
    datasets: list[DataOption] = field(default_factory=list)
    chosen_version: str = ""
    role: str = ParticipantRole.CLIENT
    receives: bool = True
    party: str = ""  # its name in the run, once a dataset is chosen
    error: str = ""  # what is wrong with the chosen dataset
    withheld: str = ""  # why what it offers cannot be chosen now

    @property
    def chosen(self) -> DataOption | None:
        """The chosen dataset, if there is one."""
        return next((dataset for dataset in self.datasets if dataset.version.id == self.chosen_version), None)

    @property
    def element_id(self) -> str:
        """The control that chooses the dataset."""
        return f"data-{self.organisation.id}"


@dataclass
class ComputeOption:
    """One worker that could run the middle of the model."""

    worker: Worker
    online: bool
    chosen: bool = False

    @property
    def gpu(self) -> str:
        """Its first graphics card, or its processors."""
        gpus = self.worker.facts.get("gpus") or []
        if gpus:
            return f"{len(gpus)} × {gpus[0].get('name', 'GPU')}"
        return f"{self.worker.facts.get('cpus', '?')} CPU cores"


@dataclass
class PartyOptions:
    """Everything that the parties' section shows."""

    data: list[OrganisationOption]
    compute: list[ComputeOption]
    server_receives: bool = False
    server_error: str = ""  # what is wrong with the chosen compute worker
    compute_withheld: str = ""  # why the compute workers that are there cannot be chosen now

    def check_formats(self) -> None:
        """Say beside each dataset of another format than the others' that it does not fit (CL-1004)."""
        chosen = {option.organisation.id: option.chosen for option in self.data}
        formats = {key: str(one.version.metadata.get("format")) for key, one in chosen.items() if one is not None}
        clashes = format_clash(formats)
        for option in self.data:
            option.error = clashes.get(option.organisation.id, "")

    def check_labels(self, config: RunConfig) -> None:
        """Say beside each dataset whose rows don't fit the run's task that it does not (CL-1246)."""
        chosen = {option.organisation.id: option.chosen for option in self.data}
        versions = {key: one.version for key, one in chosen.items() if one is not None}
        problems = label_problems(config, versions.values())
        for option in self.data:
            version = versions.get(option.organisation.id)
            if version is not None and version.id in problems and not option.error:
                option.error = f"{problems[version.id]} (CL-1246)."

    @property
    def told_labels(self) -> list[str]:
        """Every label that the chosen datasets' sites named, in the order of the alphabet."""
        chosen = [option.chosen for option in self.data]
        return sorted({label for one in chosen if one for label in one.version.metadata.get("labels") or []})

    @property
    def sites(self) -> list[Site]:
        """Each chosen worker with its part."""
        data = [
            Site(option.chosen.worker, option.role, option.party) for option in self.data if option.chosen is not None
        ]
        return data + [Site(one.worker, ParticipantRole.SERVER) for one in self.compute if one.chosen]

    def choices(self) -> list[PartyChoice]:
        """The chosen parties, as services take them."""
        found = []
        for option in self.data:
            for dataset in option.datasets:
                if dataset.version.id == option.chosen_version:
                    found.append(PartyChoice(option.role, dataset.worker.id, dataset.version.id, option.receives))
        found += [
            PartyChoice(ParticipantRole.SERVER, c.worker.id, "", self.server_receives) for c in self.compute if c.chosen
        ]
        return found

    def name_parties(self, run: Run | None) -> None:
        """Give each chosen data organisation the name that it has, or will have, in the run."""
        choices = self.choices()
        names = {
            choice.dataset_version_id: name for choice, name in zip(choices, party_names(run, choices), strict=True)
        }
        for option in self.data:
            option.party = names.get(option.chosen_version, "") if option.chosen_version else ""

    @property
    def trainers(self) -> list[DataParty]:
        """The organisations that train on a dataset."""
        return [
            DataParty(option.organisation.id, option.party, option.organisation.name, option.place)
            for option in self.data
            if option.party and option.role == ParticipantRole.CLIENT
        ]

    @property
    def trainers_workers(self) -> dict[str, str]:
        """Each training party's name and its worker's id."""
        workers = {d.version.id: d.worker.id for option in self.data for d in option.datasets}
        return {
            option.party: workers[option.chosen_version]
            for option in self.data
            if option.party and option.role == ParticipantRole.CLIENT
        }

    @property
    def worker_ids(self) -> list[str]:
        """The chosen workers."""
        return [choice.worker_id for choice in self.choices()]


def _offered(project: Project) -> tuple[dict[str, list[DataOption]], dict[str, list[str]]]:
    """By organisation: what it offers to the project, and why the rest of its offer cannot be used now."""
    versions = (
        DatasetVersion.objects.filter(dataset__projects=project, dataset__is_archived=False, withdrawn_at=None)
        .select_related("dataset", "dataset__worker")
        .order_by("dataset__name", "-number")
    )
    usable: dict[str, list[DataOption]] = {}
    withheld: dict[str, list[str]] = {}
    for version in versions:
        worker = version.dataset.worker
        why = _why_unusable(worker)
        if not why and version.missing_at is not None:
            why = f"{worker.name} no longer has the rows of {version.dataset.name} v{version.number}"
        if why:
            withheld.setdefault(version.dataset.organisation_id, []).append(why)
        else:
            option = DataOption(version, worker, worker_is_online(worker))
            usable.setdefault(version.dataset.organisation_id, []).append(option)
    return usable, withheld


def _why_unusable(worker: Worker) -> str:
    """Why a worker gets no work, as half a sentence; empty where it does."""
    if worker.state == WorkerState.ACTIVE:
        return ""
    words = {
        WorkerState.PENDING: "is not confirmed yet",
        WorkerState.QUARANTINED: "is in quarantine",
        WorkerState.REVOKED: "is revoked",
        WorkerState.LEFT: "has left",
    }
    return f"{worker.name} {words[WorkerState(worker.state)]}"


def _list(reasons: Iterable[str]) -> str:
    """Reasons in one row, each once."""
    return "; ".join(dict.fromkeys(reasons))


def party_options(project: Project, run: Run | None, data: Mapping[str, Any] | None = None) -> PartyOptions:
    """What the project's members offer, with the choices of `data` (a submitted form) or of the stored run."""
    members = list(
        Organisation.objects.filter(participations__project=project, participations__is_active=True).order_by("name")
    )
    by_organisation, withheld = _offered(project)
    compute = (
        Worker.objects.filter(organisation__in=members)
        .exclude(kind=PartyKind.DATA)
        .exclude(state__in=[WorkerState.REVOKED, WorkerState.LEFT])
        .select_related("organisation")
        .order_by("organisation__name", "name")
    )
    options = PartyOptions(
        [
            OrganisationOption(
                member, place, by_organisation.get(member.id, []), withheld=_list(withheld.get(member.id, []))
            )
            for place, member in enumerate(members)
            if member.kind != PartyKind.COMPUTE or member.id in by_organisation
        ],
        [ComputeOption(worker, worker_is_online(worker)) for worker in compute if worker.state == WorkerState.ACTIVE],
        compute_withheld=_list([why for worker in compute if (why := _why_unusable(worker))]),
    )
    _choose_from_form(options, data) if data is not None else _choose_from_run(options, run)
    options.name_parties(run)
    return options


def _choose_from_form(options: PartyOptions, data: Mapping[str, Any]) -> None:
    for option in options.data:
        key = option.organisation.id
        option.chosen_version = str(data.get(f"dataset.{key}", ""))
        role = str(data.get(f"role.{key}", ParticipantRole.CLIENT))
        option.role = ParticipantRole.EVALUATOR if role == ParticipantRole.EVALUATOR else ParticipantRole.CLIENT
        option.receives = f"receives.{key}" in data
    for compute in options.compute:
        compute.chosen = data.get("server") == compute.worker.id
    options.server_receives = "receives.server" in data


def _choose_from_run(options: PartyOptions, run: Run | None) -> None:
    if run is None:
        if len(options.compute) == 1:
            options.compute[0].chosen = True
        return
    for part in run.participants.all():
        if part.role == ParticipantRole.SERVER:
            options.server_receives = part.receives_adapter
            for compute in options.compute:
                compute.chosen = compute.chosen or compute.worker.id == part.worker_id
            continue
        for option in options.data:
            if option.organisation.id == part.organisation_id:
                option.chosen_version = part.dataset_version_id or ""
                option.role, option.receives = part.role, part.receives_adapter


@dataclass(frozen=True)
class ModelOption:
    """A base model, and on which of the chosen workers it is registered."""

    model_id: str
    held_by: tuple[str, ...]
    missing: tuple[str, ...]
    manifest: str  # of the weights that all of them hold under one revision; empty where they differ
    told: str  # who holds which
    worker_ids: tuple[str, ...]
    config: dict[str, Any]
    rows: tuple[WorkerModel, ...] = ()  # one for each worker and manifest
    parameters: int = 0  # counted by the site that hashed the files; an estimate of the shape leaves out the norms

    @property
    def same_weights(self) -> bool:
        """Whether all that hold the model hold the same weights."""
        return bool(self.manifest)

    @property
    def fits(self) -> bool:
        """Whether every chosen worker holds the same weights."""
        return not self.missing and self.same_weights

    @cached_property
    def shape(self) -> ModelShape | None:
        """Its measured layout; None where nobody has measured it, or two who did differ."""
        return shared_shape([row for row in self.rows if self.manifest in ("", row.manifest_hash)])

    @property
    def layers(self) -> int:
        """Decoder layers; 0 where nothing tells."""
        return model_layers(self.shape, self.config)

    @property
    def layout_warning(self) -> str:
        """Why nothing can be estimated; empty where the layout is known."""
        if self.shape is not None:
            return ""
        if any(row.shape is not None for row in self.rows):
            return "The workers report different layouts of this base model, so nothing can be estimated."
        return (
            "The layout of this base model isn't known, so nothing can be estimated. A current worker measures it when "
            "it starts; older workers need an upgrade. The run itself isn't affected."
        )

    @property
    def explanation(self) -> str:
        """Why it cannot be chosen yet; empty when it can."""
        if self.missing:
            return f"Not registered on {', '.join(self.missing)}."
        return "" if self.same_weights else f"The workers have different versions of it: {self.told}."


def model_options(project: Project, worker_ids: Iterable[str]) -> list[ModelOption]:
    """The models of the chosen workers (of all the project's workers while none is chosen), common ones first."""
    chosen = list(worker_ids)
    scope = Worker.objects.filter(
        organisation__participations__project=project,
        organisation__participations__is_active=True,
        state=WorkerState.ACTIVE,
    )
    workers = {w.id: w.name for w in (scope.filter(id__in=chosen) if chosen else scope)}
    held: dict[str, list[WorkerModel]] = {}
    found = WorkerModel.objects.filter(worker_id__in=workers).select_related("worker")
    for model in found.order_by("model_id", "created_at"):
        held.setdefault(model.model_id, []).append(model)
    options = []
    for model_id, rows in held.items():
        missing = tuple(sorted(name for w, name in workers.items() if w not in {row.worker_id for row in rows}))
        options.append(
            ModelOption(
                model_id,
                tuple(sorted({workers[row.worker_id] for row in rows})),
                missing if chosen else (),
                next(iter(shared_models(rows)), ""),
                who_holds_which(rows),
                tuple(sorted({row.worker_id for row in rows})),
                rows[0].planned_config,
                tuple(rows),
                rows[0].parameters,
            )
        )
    return sorted(options, key=lambda option: (not option.fits, option.model_id))
