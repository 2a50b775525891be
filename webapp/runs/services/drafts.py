"""Drafts: what an engineer types, kept as it is until it is submitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from splitcore.bounds import plain_line
from splitcore.config import TrainingSection
from splitcore.errors import AppError
from webapp.accounts.models import User
from webapp.audit.services import audit_record
from webapp.core.transactions import service
from webapp.datasets.models import DatasetVersion
from webapp.fleet.models import Worker
from webapp.orgs.models import Organisation
from webapp.orgs.permissions import Action, require
from webapp.projects.models import Project
from webapp.runs.kinds.train import train_request
from webapp.runs.life.apply import run_apply, run_expect
from webapp.runs.life.events import Event, Happening
from webapp.runs.locking import run_lock
from webapp.runs.models import Participant, ParticipantRole, Run, RunState
from webapp.runs.services.choices import PartyChoice
from webapp.runs.services.draft_versions import Basis, Draft, draft_note_edits, draft_settle
from webapp.runs.timeline import run_announce


def _party_name(organisation: Organisation, role: str, taken: set[str]) -> str:
    """The organisation's slug; with its role, then a number, where that is taken. A contract's names have no "_"."""
    slug = organisation.slug.replace("_", "-").strip("-") or "organisation"
    names = [slug, f"{slug[:48]}-{role}", *(f"{slug[:48]}-{number}" for number in range(2, 65))]
    return next(name for name in names if name not in taken)


def party_names(run: Run | None, choices: Sequence[PartyChoice]) -> list[str]:
    """The names that the chosen workers have in the run, or will get when it is saved; "" for one that is gone."""
    rows = {(row.worker_id, row.role): row.party for row in run.participants.all()} if run is not None else {}
    ids = [choice.worker_id for choice in choices]
    homes = {w.id: w.organisation for w in Worker.objects.filter(id__in=ids).select_related("organisation")}
    taken, names = set(rows.values()), []
    for choice in choices:
        name = rows.get((choice.worker_id, choice.role), "")
        if not name and choice.worker_id in homes:
            name = _party_name(homes[choice.worker_id], choice.role, taken)
        taken.add(name)
        names.append(name)
    return names


def _version(choice: PartyChoice, project: Project, worker: Worker) -> DatasetVersion | None:
    if choice.role == ParticipantRole.SERVER:
        return None
    version = (
        DatasetVersion.objects.filter(
            id=choice.dataset_version_id,
            dataset__worker=worker,
            dataset__projects=project,
            withdrawn_at=None,
            dataset__is_archived=False,
        )
        .select_related("dataset")
        .first()
    )
    if version is None:
        raise AppError("CL-1003", f"The dataset chosen for {worker.name} isn't offered to this project.")
    return version


def _check_takes_part(organisation: Organisation, project: Project) -> None:
    if not project.participations.filter(organisation=organisation, is_active=True).exists():
        raise AppError("CL-1006", f"{organisation.name} doesn't take part in the project {project.name}.")


def parties_replace(run: Run, choices: Sequence[PartyChoice]) -> None:
    """Make the chosen workers the run's participants; the rows of those that stay are kept."""
    kept: set[str] = set()
    taken: set[str] = set()
    for choice in choices:
        if choice.role not in ParticipantRole.values:
            raise AppError("CL-1003", f"'{choice.role}' isn't a role: {', '.join(ParticipantRole.values)}.")
        worker = (
            Worker.objects.filter(
                id=choice.worker_id,
                organisation__participations__project=run.project,
                organisation__participations__is_active=True,
            )
            .select_related("organisation")
            .first()
        )
        if worker is None:
            raise AppError("CL-1003", "A chosen worker doesn't belong to an organisation of this project.")
        row = run.participants.filter(worker=worker, role=choice.role).first() or Participant(
            run=run, worker=worker, organisation=worker.organisation, role=choice.role
        )
        if row.id in kept:
            raise AppError("CL-1003", f"{worker.name} was chosen twice in the same role.")
        row.dataset_version = _version(choice, run.project, worker)
        row.receives_adapter = choice.receives
        row.party = row.party or _party_name(worker.organisation, choice.role, taken | _names(run))
        taken.add(row.party)
        row.save()
        train_request(row)
        kept.add(row.id)
    run.participants.exclude(id__in=kept).delete()


def _names(run: Run) -> set[str]:
    return set(run.participants.values_list("party", flat=True))


@service
def run_draft_save(
    *,
    actor: User,
    project: Project,
    organisation: Organisation,
    name: str,
    config: dict[str, Any],
    parties: Sequence[PartyChoice] | None = None,
    run: Run | None = None,
    note: str = "",
    public_prompts: Sequence[str] | None = None,
    start_when_approved: bool = True,
    while_typing: bool = False,
    basis: Basis | None = None,
) -> Run:
    """Create a draft or change one. `config` is kept as given: it is judged when it is submitted.

    Changing a submitted run takes it back to a draft and voids its approvals; what is saved while somebody types does
    not, since it may arrive after the submission that it was typed before. With a `basis`, a save that would undo what
    others changed since is refused with CL-1540.
    """
    owner = run.organisation if run is not None else organisation
    require(actor, Action.CONFIGURE_RUN, owner)
    if run is None:
        _check_takes_part(owner, project)
        run = Run(project=project, organisation=owner, created_by=actor)
        action = "run.created"
    else:
        run = run_lock(run.id)
        if while_typing and run.state != RunState.DRAFT:
            return run
        action = "run.changed" if run.state != RunState.DRAFT else ""  # a draft is nobody else's business yet
        run_expect(run, Happening.CHANGED)
    prompts = run.public_prompts if public_prompts is None else public_prompts
    draft = Draft(
        name=plain_line(name).strip() or "Untitled run",
        note=note[:4000],
        start_when_approved=start_when_approved,
        public_prompts=[prompt[:600] for prompt in prompts if prompt.strip()][:8],
        config=config,
        parties=None if parties is None else list(parties),
    )
    if not run._state.adding:
        draft = draft_settle(run, draft, basis)
        run_apply(run, Event(Happening.CHANGED, "The configuration was changed; approvals are void."))
    _store(run, draft, actor=actor, tab=basis.tab if basis else "")
    if action:
        audit_record(actor=actor, action=action, organisation_id=owner.id, project_id=run.project_id, object_id=run.id)
        run_announce(run)
    return run


def _store(run: Run, draft: Draft, *, actor: User, tab: str) -> None:
    """Write a draft over a locked (or new) run and note who changed what."""
    before = {} if run._state.adding else Draft.stored(run).fields()
    run.name, run.note, run.config = draft.name, draft.note, draft.config
    run.start_when_approved, run.public_prompts = draft.start_when_approved, draft.public_prompts
    run.save()
    if draft.parties is not None:
        parties_replace(run, draft.parties)
    draft_note_edits(run, before, actor=actor, tab=tab)
    run.save(update_fields=["draft_version", "draft_edits", "updated_at"])


@service
def run_clone(*, actor: User, run: Run, organisation: Organisation, lower_rate: bool = False) -> Run:
    """A new draft of `organisation` with the same configuration and parties; `parent` is what a diff compares with.

    With `lower_rate` it learns at a tenth of the rate, as after values that were not finite.
    """
    require(actor, Action.CONFIGURE_RUN, organisation)
    _check_takes_part(organisation, run.project)
    clone = Run.objects.create(
        project=run.project,
        organisation=organisation,
        created_by=actor,
        name=f"{run.name[:105]} (clone)",
        note=run.note,
        parent=run,
        parent_config=run.config,
        config=_slower(run.config) if lower_rate else run.config,
        public_prompts=run.public_prompts,
        start_when_approved=run.start_when_approved,
    )
    for row in run.participants.all():
        copy = Participant.objects.create(
            run=clone,
            organisation_id=row.organisation_id,
            worker_id=row.worker_id,
            role=row.role,
            party=row.party,
            dataset_version_id=row.dataset_version_id,
            receives_adapter=row.receives_adapter,
        )
        train_request(copy)
    audit_record(
        actor=actor,
        action="run.cloned",
        organisation_id=organisation.id,
        project_id=run.project_id,
        object_id=clone.id,
        details={"parent": run.id},
    )
    return clone


def _slower(config: dict[str, Any]) -> dict[str, Any]:
    training = config.get("training") or {}
    rate = isinstance(training, dict) and (
        training.get("learning_rate") or TrainingSection.model_fields["learning_rate"].default
    )
    if not isinstance(training, dict) or isinstance(rate, bool) or not isinstance(rate, int | float):
        return config  # what is no number is corrected in the draft
    return {**config, "training": {**training, "learning_rate": float(f"{rate / 10:g}")}}
