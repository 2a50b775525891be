"""New run, edit run: one form, its live preview, presets, YAML, submission."""

from __future__ import annotations

from dataclasses import dataclass, field
from secrets import token_urlsafe
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from splitcore.config import RunConfig
from splitcore.errors import AppError
from splitcore.planning import missing_targets
from webapp.orgs.http import MemberRequest, member_required
from webapp.orgs.permissions import Action, require
from webapp.projects.models import Project
from webapp.projects.selectors import project_get_for, projects_visible_to
from webapp.runs.configure.conflicts import FieldConflict, conflicts_read
from webapp.runs.configure.forms import ConfigForm, readable, yaml_of
from webapp.runs.configure.options import ModelOption, PartyOptions, model_options, party_options
from webapp.runs.configure.policies import policy_conflicts
from webapp.runs.configure.presets import PRESETS, preset_apply
from webapp.runs.configure.preview import Preview, preview_build
from webapp.runs.configure.prompts import prompts_from_text, prompts_to_text
from webapp.runs.configure.values import changed_paths
from webapp.runs.contract import diff
from webapp.runs.models import ApprovalState, Run, RunState
from webapp.runs.selectors import run_get_for, visible_parents
from webapp.runs.services import Basis, run_draft_save, run_submit
from webapp.runs.states import EDITABLE

MODEL_FIELD = "model.name_or_path"
NO_MODEL = "None of these workers has a base model yet. Run on each: cutlayer worker model add ID-OR-FOLDER."


@dataclass
class Setup:
    """All that the page shows of one configuration as it stands."""

    project: Project
    run: Run | None
    form: ConfigForm
    options: PartyOptions
    config: RunConfig | None
    name: str
    note: str
    prompts: str
    start_when_approved: bool
    yaml_error: str = ""
    yaml_text: str = ""
    error: AppError | None = None
    version: int = 0  # of the draft that the form was filled from
    tab: str = ""
    conflicts: list[FieldConflict] = field(default_factory=list)
    conflict_version: int = 0  # of the draft whose values the conflicts show

    def preview(self) -> Preview:
        """The preview of what stands in the form."""
        return preview_build(
            self.project, self.config, self.options, self.form.listed(), prompts=bool(self.prompts.strip())
        )

    @property
    def names_fields(self) -> bool:
        """Whether what went wrong stands beside the fields, and the list of all of them says more than the error."""
        return self.error is not None and bool(self.error.details.get("fields")) and bool(self.form.problems)

    @property
    def changed(self) -> int:
        """How many fields differ from their defaults."""
        return len(changed_paths(self.form.typed())) + self.form.overrides.count


def setup(project: Project, run: Run | None, data: QueryDict | None = None) -> Setup:
    """The page's state from the stored run, or from what was typed."""
    options = party_options(project, run, data)
    models = model_options(project, options.worker_ids)
    stored: dict[str, Any] = run.config if run is not None else {}
    choices = [(m.model_id, m.model_id if m.fits else f"{m.model_id} ({m.explanation})") for m in models]
    name = str((stored.get("model") or {}).get("name_or_path") or "")
    if name and name not in dict(choices):
        choices.append((name, f"{name} (not registered on the chosen workers)"))
    if not stored and models:
        stored = {"model": {"name_or_path": models[0].model_id}}
    elif not name:
        choices.insert(0, ("", "choose a base model" if models else "none is registered yet"))
    form = ConfigForm(data, config=stored, models=choices, parties=options.trainers)
    config = form.check()
    if not models and MODEL_FIELD in form.problems:
        form.problems[MODEL_FIELD] = NO_MODEL
    _ask_sites(config, options, form, models)
    source = data or QueryDict()
    return Setup(
        project=project,
        run=run,
        form=form,
        options=options,
        config=config,
        name=source.get("name", "") if data is not None else (run.name if run else _auto_name(project)),
        note=source.get("note", "") if data is not None else (run.note if run else ""),
        prompts=source.get("public_prompts", "")
        if data is not None
        else prompts_to_text(run.public_prompts if run else []),
        start_when_approved="start_when_approved" in source
        if data is not None
        else (run.start_when_approved if run else True),
        version=_number(data, "version") if data is not None else (run.draft_version if run else 0),
        tab=source.get("tab", "")[:40] or token_urlsafe(8),
    )


def _ask_sites(config: RunConfig | None, options: PartyOptions, form: ConfigForm, models: list[ModelOption]) -> None:
    """Put what the chosen sites are known to refuse beside the fields and the parties."""
    options.check_formats()
    _propose_labels(form, options)
    if config is None:
        return
    options.check_labels(config)
    model = next((model for model in models if model.model_id == config.model.name_or_path), None)
    if model is not None and (wrong := missing_targets(model.shape, config.lora.target_modules)):
        form.take_problems([{"field": "lora.target_modules", "message": wrong}])
    for conflict in policy_conflicts(config, options.sites, model):
        if conflict.path == "server":
            options.server_error = conflict.message
        else:
            form.take_conflict(conflict.path, conflict.message, conflict.mend)


LABELS = "data.task.sequence.labels"


def _propose_labels(form: ConfigForm, options: PartyOptions) -> None:
    """Where labels are missing, a button beside the field takes those of the chosen datasets."""
    if LABELS in form.problems and len(options.told_labels) > 1:
        form.mends[LABELS] = ", ".join(options.told_labels)


def _number(data: QueryDict, name: str) -> int:
    text = data.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _auto_name(project: Project) -> str:
    return f"{project.name[:90]} {project.runs.count() + 1}"


def _save(
    request: MemberRequest,
    state: Setup,
    config: dict[str, Any] | None = None,
    *,
    while_typing: bool = False,
    basis: Basis | None = None,
) -> Run:
    """Save what stands in the form. What would undo others' changes is refused, and is shown field by field."""
    try:
        run = _store(request, state, config, while_typing=while_typing, basis=basis or Basis(state.version, state.tab))
    except AppError as error:
        state.conflicts = conflicts_read(error.details, state.form, request.user)
        state.conflict_version = int(error.details.get("version", 0))
        raise
    state.version = run.draft_version
    return run


def _store(
    request: MemberRequest, state: Setup, config: dict[str, Any] | None, *, while_typing: bool, basis: Basis
) -> Run:
    return run_draft_save(
        actor=request.user,
        project=state.project,
        organisation=request.organisation,
        name=state.name,
        note=state.note,
        config=state.form.typed() if config is None else config,
        parties=state.options.choices(),
        run=state.run,
        public_prompts=prompts_from_text(state.prompts),
        start_when_approved=state.start_when_approved,
        while_typing=while_typing,
        basis=basis,
    )


def _page(request: MemberRequest, state: Setup, status: int = 200) -> HttpResponse:
    preview = state.preview()
    run = state.run
    cloned = run.parent_config if run is not None else None
    context = {
        "setup": state,
        "run": run,
        "project": state.project,
        "form": state.form,
        "sections": list(state.form.sections()),
        "preview": preview,
        "problems_title": f"{len(preview.problems)} problem{'s' if len(preview.problems) != 1 else ''} to correct",
        "presets": PRESETS,
        "yaml": state.yaml_text or yaml_of(state.form.typed()),
        "is_clone": cloned is not None,
        "parent": visible_parents(request.user, [run]).get(run.parent_id or "") if run is not None else None,
        "parent_diff": diff(cloned, state.config.model_dump(mode="json")) if cloned and state.config else [],
        "voids": run.approvals.filter(contract_hash=run.contract_hash, state=ApprovalState.APPROVED).count()
        if run is not None and run.state != RunState.DRAFT
        else 0,
        "can_delete": run is not None and run.state == RunState.DRAFT and not run.approvals.exists(),
        "autosave": run is None or run.state == RunState.DRAFT,
    }
    return render(request, "runs/configure.html", context, status=status)


@member_required
@require_http_methods(["GET", "HEAD", "POST"])
def run_new(request: MemberRequest) -> HttpResponseBase:
    """A new draft of the project named in the query."""
    require(request.user, Action.CONFIGURE_RUN, request.organisation)
    projects = projects_visible_to(request.user).filter(is_archived=False)
    project_id = request.GET.get("project") or request.POST.get("project")
    if not project_id:
        only = list(projects[:2])
        if len(only) != 1:
            return render(request, "runs/choose_project.html", {"projects": projects})
        project_id = only[0].id
    project = project_get_for(user=request.user, project_id=project_id)
    if request.method != "POST":
        return _page(request, setup(project, None))
    if run_id := request.POST.get("run", ""):  # the page came back with a problem, after the draft was saved
        return run_edit(request, run_id)
    return _act(request, setup(project, None, request.POST))


@member_required
@require_http_methods(["GET", "HEAD", "POST"])
def run_edit(request: MemberRequest, run_id: str) -> HttpResponseBase:
    """Change a run that has not started."""
    run = run_get_for(user=request.user, run_id=run_id)
    require(request.user, Action.CONFIGURE_RUN, run.organisation)
    if run.state not in EDITABLE:
        messages.info(request, "A run that has started can't be changed. Clone it, and change the clone.")
        return redirect("runs:detail", run.id)
    if request.method != "POST":
        return _page(request, setup(run.project, run))
    return _act(request, setup(run.project, run, request.POST))


def _act(request: MemberRequest, state: Setup) -> HttpResponse:
    """Do what the pressed button says; whatever goes wrong, the page comes back with all that was typed."""
    action = request.POST.get("action", "save")
    try:
        if action.startswith("preset:"):
            model = state.preview().model
            layers = model.layers if model else 0
            run = _save(request, state, preset_apply(state.form.typed(), action.removeprefix("preset:"), layers))
            messages.success(request, "The preset was applied. The base model and the parties are unchanged.")
            return redirect("runs:edit", run.id)
        if action == "yaml":
            return _import(request, state)
        run = _save(request, state, basis=_chosen_basis(request, state, action))
        state.run = run
        if action == "submit":
            run_submit(actor=request.user, run=run)
            messages.success(request, "The contract is frozen. Each organisation has been asked to approve it.")
            return redirect("runs:approvals", run.id)
    except AppError as error:
        if error.code == "CL-1601":
            raise
        state.error = error
        state.form.take_problems(error.details.get("fields", []))
        return _page(request, state, status=409 if state.conflicts else 422)
    messages.success(request, "The draft was saved.")
    return redirect("runs:edit", run.id)


def _chosen_basis(request: MemberRequest, state: Setup, action: str) -> Basis | None:
    """What the person decided about others' changes: to keep their own values, or to take the saved ones."""
    seen = _number(request.POST, "conflict_version")
    if action == "keep-mine":
        return Basis(seen, state.tab)
    if action == "take-theirs":
        return Basis(seen, state.tab, theirs_since=state.version)
    return None


def _import(request: MemberRequest, state: Setup) -> HttpResponse:
    state.yaml_text = request.POST.get("yaml", "")
    try:
        config = RunConfig.from_yaml(state.yaml_text)
    except AppError as error:
        fields = [f"{item['field']}: {readable(item['message'])}" for item in error.details.get("fields", [])]
        state.yaml_error = " ".join([*(fields or [error.message]), error.remedy])
        return _page(request, state, status=422)
    run = _save(request, state, config.model_dump(mode="json", exclude_defaults=True))
    messages.success(request, "The YAML was applied to the form.")
    return redirect("runs:edit", run.id)


@member_required
@require_POST
def run_preview(request: MemberRequest) -> HttpResponseBase:
    """The preview and the fields' messages for what is typed; a draft is saved on the way (htmx)."""
    project = project_get_for(user=request.user, project_id=request.POST.get("project", ""))
    run_id = request.POST.get("run", "")
    run = run_get_for(user=request.user, run_id=run_id) if run_id else None
    require(request.user, Action.CONFIGURE_RUN, run.organisation if run is not None else request.organisation)
    state = setup(project, run, request.POST)
    saved_at, created = None, run is None
    if run is None or run.state == RunState.DRAFT:
        try:
            state.run = _save(request, state, while_typing=True)
            saved_at = timezone.now()
        except AppError as error:
            state.error = error
    context = {"setup": state, "run": state.run, "preview": state.preview(), "form": state.form, "saved_at": saved_at}
    response = render(request, "runs/_preview_response.html", context)
    if created and state.run is not None:
        response["HX-Replace-Url"] = reverse("runs:edit", args=[state.run.id])
    return response
