"""Pages of projects, and the home page."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from splitcore.errors import AppError
from webapp.accounts.models import User
from webapp.adapters.selectors import adapters_visible_to
from webapp.audit.selectors import entries_of_project
from webapp.core.errors import http_status
from webapp.datasets.models import Dataset
from webapp.fleet.selectors import workers_visible_to
from webapp.orgs.disclosure import HONEST_NOTES
from webapp.orgs.forms import PartnerInvitationForm
from webapp.orgs.http import MemberRequest, answer_action, member_required
from webapp.orgs.invitations import invite_partner
from webapp.orgs.permissions import Action, require, why_not
from webapp.orgs.selectors import invitations_addressed_to, membership_of
from webapp.orgs.views.invitations import show_link
from webapp.projects.facts import first_steps, needs_attention, party_facts
from webapp.projects.forms import ProjectForm
from webapp.projects.models import Participation, Project
from webapp.projects.selectors import base_models_of, participations_of, project_get_for, projects_visible_to
from webapp.projects.services import participation_end, project_archive, project_create, project_update
from webapp.runs.models import RunState
from webapp.runs.selectors import domain_table, inbox_for, runs_visible_to
from webapp.runs.states import LIVE

LIVE_STATES = tuple(LIVE)
TABS = ("overview", "organisations", "datasets", "runs", "adapters", "activity")
TAB_ICONS = ("info-circle", "building", "database", "activity", "package", "history")


@member_required
@require_safe
def home(request: MemberRequest) -> HttpResponse:
    """What needs the person's action, what runs, what is broken, and the first steps."""
    user, organisation = request.user, request.organisation
    steps = first_steps(user, organisation)
    done = sum(step.done for step in steps)
    runs = runs_visible_to(user)
    context = {
        "decide": inbox_for(user)["decide"],
        "invitations": invitations_addressed_to(user),
        "live_runs": runs.filter(state__in=LIVE_STATES).order_by("-state_since")[:6],
        "recent_runs": runs.exclude(state__in=[*LIVE_STATES, RunState.DRAFT]).order_by("-state_since")[:5],
        "problems": needs_attention(list(workers_visible_to(user).filter(organisation=organisation))),
        "steps": steps,
        "steps_done": done,
        "steps_text": f"{done} of {len(steps)} done",
        "next_step": next((step for step in steps if not step.done and not step.blocked), None),
    }
    return render(request, "projects/home.html", context)


@member_required
@require_safe
def project_list(request: MemberRequest) -> HttpResponse:
    """The projects of all the person's organisations."""
    archived = request.GET.get("archived") == "1"
    projects = projects_visible_to(request.user)
    text = request.GET.get("q", "").strip()
    found = projects.filter(is_archived=archived)
    if text:
        found = found.filter(Q(name__icontains=text) | Q(owner__name__icontains=text))
    counted = found.annotate(
        parties=Count("participations", filter=Q(participations__is_active=True), distinct=True),
        run_count=Count("runs", filter=~Q(runs__state=RunState.DRAFT), distinct=True),
    ).order_by("-created_at")
    context = {
        "page_obj": Paginator(counted, 25).get_page(request.GET.get("page")),
        "archived": archived,
        "q": text,
        "any": projects.exists(),
        "why_not": why_not(request.user, Action.CREATE_PROJECT, request.organisation),
    }
    return render(request, "projects/list.html", context)


@member_required
@require_http_methods(["GET", "HEAD", "POST"])
def project_new(request: MemberRequest) -> HttpResponse:
    """Create a project of the current organisation."""
    require(request.user, Action.CREATE_PROJECT, request.organisation)
    form = ProjectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        project = project_create(actor=request.user, organisation=request.organisation, **form.cleaned_data)
        messages.success(request, "The project was created. Invite the organisations that will train with you.")
        return redirect("projects:detail", project.pk)
    return render(request, "projects/form.html", {"form": form, "project": None})


@member_required
@require_http_methods(["GET", "HEAD", "POST"])
def project_edit(request: MemberRequest, project_id: str) -> HttpResponse:
    """Change name, purpose and lawful basis."""
    project = project_get_for(user=request.user, project_id=project_id)
    require(request.user, Action.CREATE_PROJECT, project.owner)
    initial = {name: getattr(project, name) for name in ProjectForm.base_fields}
    form = ProjectForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        project_update(actor=request.user, project=project, **form.cleaned_data)
        messages.success(request, "The project was saved.")
        return redirect("projects:detail", project.pk)
    return render(request, "projects/form.html", {"form": form, "project": project})


@member_required
@require_POST
def project_archive_view(request: MemberRequest, project_id: str) -> HttpResponse:
    """Put the project away, or take it out again."""
    project = project_get_for(user=request.user, project_id=project_id)
    archived = not project.is_archived
    project_archive(actor=request.user, project=project, archived=archived)
    messages.success(request, "The project was archived." if archived else "The project was restored.")
    return redirect("projects:detail", project.pk)


@member_required
@require_safe
def project_detail(request: MemberRequest, project_id: str, tab: str = "overview") -> HttpResponse:
    """One project; each tab has its own address."""
    project = project_get_for(user=request.user, project_id=project_id)
    if tab not in TABS:
        raise Http404
    context = {
        "project": project,
        "tab": tab,
        "tabs": _tabs(project, tab),
        "invite_why_not": why_not(request.user, Action.INVITE_PARTNERS, project.owner),
        "edit_why_not": why_not(request.user, Action.CREATE_PROJECT, project.owner),
        "run_why_not": why_not(request.user, Action.CONFIGURE_RUN, request.organisation),
        **_TAB_CONTENT[tab](request, project),
    }
    return render(request, f"projects/{tab}.html", context)


def _tabs(project: Project, active: str) -> list[dict[str, Any]]:
    base = f"/projects/{project.pk}"
    return [
        {
            "label": name.capitalize(),
            "url": base if name == "overview" else f"{base}/{name}",
            "icon": icon,
            "active": name == active,
        }
        for name, icon in zip(TABS, TAB_ICONS, strict=True)
    ]


def _overview(request: MemberRequest, project: Project) -> dict[str, Any]:
    return {
        "parties": party_facts(project),
        "base_models": base_models_of(project),
        "notes": HONEST_NOTES,
        "table": domain_table(project),
        "live_runs": runs_visible_to(request.user).filter(project=project, state__in=LIVE_STATES),
    }


def _organisations(request: MemberRequest, project: Project) -> dict[str, Any]:
    invitations = project.invitations.exclude(state="superseded").select_related("created_by", "accepted_organisation")
    return {
        "parties": party_facts(project),
        # Who was asked is the owner's business; partners see who takes part.
        "invitations": invitations.order_by("-created_at") if membership_of(request.user, project.owner) else [],
    }


def _datasets(request: MemberRequest, project: Project) -> dict[str, Any]:
    datasets = Dataset.objects.filter(projects=project, is_archived=False)
    return {
        "datasets": datasets.select_related("organisation").prefetch_related("versions"),
        "places": {one.organisation_id: place for place, one in enumerate(participations_of(project))},
    }


def _runs(request: MemberRequest, project: Project) -> dict[str, Any]:
    runs = runs_visible_to(request.user).filter(project=project, is_archived=False).order_by("-created_at")
    return {"page_obj": Paginator(runs, 25).get_page(request.GET.get("page"))}


def _adapters(request: MemberRequest, project: Project) -> dict[str, Any]:
    return {"adapters": adapters_visible_to(request.user).filter(run__project=project).order_by("-created_at")}


def _activity(request: MemberRequest, project: Project) -> dict[str, Any]:
    hidden = project.runs.exclude(pk__in=runs_visible_to(request.user).values("pk"))  # the drafts of others
    entries = entries_of_project(project.pk).exclude(object_id__in=hidden.values("pk"))
    page = Paginator(entries, 40).get_page(request.GET.get("page"))
    names = _names_of(request.user, project, {entry.object_id for entry in page})
    for entry in page:
        entry.of = names.get(entry.object_id)  # type: ignore[attr-defined]
    return {"page_obj": page}


def _names_of(user: User, project: Project, ids: set[str]) -> dict[str, dict[str, str]]:
    """What the activity's entries are about, as far as the person sees it: name and address by id."""
    runs = runs_visible_to(user).filter(project=project, pk__in=ids)
    adapters = adapters_visible_to(user).filter(run__project=project, pk__in=ids).select_related("run")
    datasets = Dataset.objects.filter(pk__in=ids, projects=project)
    return {
        **{run.pk: {"name": run.name, "url": f"/runs/{run.pk}"} for run in runs},
        **{one.pk: {"name": one.run.name, "url": f"/adapters/{one.pk}"} for one in adapters},
        **{dataset.pk: {"name": dataset.name, "url": f"/datasets/{dataset.pk}"} for dataset in datasets},
    }


_TAB_CONTENT = {
    "overview": _overview,
    "organisations": _organisations,
    "datasets": _datasets,
    "runs": _runs,
    "adapters": _adapters,
    "activity": _activity,
}


@member_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def project_invite(request: MemberRequest, project_id: str) -> HttpResponse:
    """Invite a partner organisation to the project."""
    project = project_get_for(user=request.user, project_id=project_id)
    require(request.user, Action.INVITE_PARTNERS, project.owner)
    form = PartnerInvitationForm(request.POST or None)
    error: AppError | None = None
    if request.method == "POST" and form.is_valid():
        try:
            invitation, token = invite_partner(actor=request.user, project=project, **form.cleaned_data)
        except AppError as refused:
            error = refused
        else:
            return show_link(request, invitation, token)
    context = {"form": form, "project": project, "error": error}
    return render(request, "projects/invite.html", context, status=http_status(error.code) if error else 200)


@member_required
@require_POST
def participation_end_view(request: MemberRequest, project_id: str, participation_id: str) -> HttpResponse:
    """Leave the project, or remove a partner from it."""
    project = project_get_for(user=request.user, project_id=project_id)
    participation = Participation.objects.filter(project=project, pk=participation_id, is_active=True).first()
    if participation is None:
        raise Http404
    leaves = membership_of(request.user, participation.organisation_id) is not None
    return answer_action(
        request,
        lambda: participation_end(actor=request.user, participation=participation),
        done=f"{participation.organisation} no longer takes part in {project}.",
        to="/projects" if leaves else f"/projects/{project.pk}/organisations",
    )
