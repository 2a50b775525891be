"""Pages of datasets: the list, the way to add one on a worker, and what is known of each."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from webapp.datasets.figures import RECEIVED, histogram_picture, metadata_lines, metadata_text
from webapp.datasets.models import Dataset
from webapp.datasets.selectors import (
    dataset_get_for,
    datasets_visible_to,
    is_own,
    projects_shown,
    projects_to_offer,
    usage_of,
    workers_for_upload,
)
from webapp.datasets.services import dataset_offer, dataset_offer_withdraw, dataset_version_withdraw
from webapp.datasets.spending import spending_shown
from webapp.datasets.tickets import upload_ticket_issue
from webapp.fleet.facts import online
from webapp.orgs.http import MemberRequest, answer_action, member_required
from webapp.orgs.permissions import Action, why_not
from webapp.projects.selectors import project_get_for


@member_required
@require_safe
def datasets(request: MemberRequest) -> HttpResponse:
    """The own datasets, and those that partners offer."""
    visible = list(datasets_visible_to(request.user))
    context = {
        "own": [row for row in visible if row.organisation_id == request.organisation.pk and not row.is_archived],
        "offered": [row for row in visible if row.organisation_id != request.organisation.pk],
        "add_why_not": why_not(request.user, Action.ADD_DATASET, request.organisation),
    }
    template = "datasets/_list.html" if request.headers.get("HX-Request") else "datasets/list.html"
    return render(request, template, context)


@never_cache
@member_required
@require_safe
def new(request: MemberRequest) -> HttpResponse:
    """Choose the worker on which the dataset is added."""
    workers = workers_for_upload(user=request.user, organisation=request.organisation)
    context = {
        "rows": [(worker, online(worker)) for worker in workers],
        "chosen": request.GET.get("worker", ""),
        "received": list(RECEIVED),
        "why_not": why_not(request.user, Action.ADD_DATASET, request.organisation),
    }
    return render(request, "datasets/new.html", context)


@never_cache
@member_required
@require_POST
def upload(request: MemberRequest, worker_id: str) -> HttpResponse:
    """Make a ticket and show the link to the worker's own page; the link is not stored anywhere."""
    workers = workers_for_upload(user=request.user, organisation=request.organisation)
    worker = workers.filter(pk=worker_id).first()
    if worker is None:
        raise Http404("No such worker.")
    ticket = upload_ticket_issue(actor=request.user, worker=worker)
    link = f"{worker.console_url.rstrip('/')}/add#t={ticket}" if worker.console_url else ""
    known = list(datasets_visible_to(request.user).filter(worker=worker).values_list("id", flat=True))
    port = urlsplit(worker.console_url).port or 8733
    context = {"worker": worker, "online": online(worker), "link": link, "known": len(known), "console_port": port}
    return render(request, "datasets/upload.html", context)


@member_required
@require_safe
def detail(request: MemberRequest, dataset_id: str) -> HttpResponse:
    """One dataset: metadata, versions, offers and usage."""
    dataset = dataset_get_for(user=request.user, dataset_id=dataset_id)
    versions = list(dataset.versions.all())
    wanted = request.GET.get("version", "")
    shown = next((version for version in versions if str(version.number) == wanted), versions[0] if versions else None)
    metadata = shown.metadata if shown else {}
    own = is_own(request.user, dataset)
    context = {
        "dataset": dataset,
        "versions": versions,
        "shown": shown,
        "lines": metadata_lines(metadata),
        "metadata_text": metadata_text(metadata),
        "histogram": histogram_picture(metadata),
        "own": own,
        "spending": spending_shown(dataset, request.user) if own else None,
        "offered": projects_shown(user=request.user, dataset=dataset),
        "offerable": projects_to_offer(user=request.user, dataset=dataset),
        "usage": usage_of(user=request.user, dataset=dataset)[:20],
        "offer_why_not": why_not(request.user, Action.OFFER_DATASET, dataset.organisation),
    }
    return render(request, "datasets/detail.html", context)


def _answer(request: MemberRequest, dataset: Dataset, act: Callable[[], object], done: str) -> HttpResponse:
    return answer_action(request, act, done=done, to=reverse("datasets:detail", args=[dataset.pk]))


@member_required
@require_POST
def offer(request: MemberRequest, dataset_id: str) -> HttpResponse:
    """Offer the dataset to a project."""
    dataset = dataset_get_for(user=request.user, dataset_id=dataset_id)
    project = project_get_for(user=request.user, project_id=request.POST.get("project", ""))
    return _answer(
        request,
        dataset,
        lambda: dataset_offer(actor=request.user, dataset=dataset, project=project),
        f"Offered to {project}. Your organisation still approves each run.",
    )


@member_required
@require_POST
def offer_withdraw(request: MemberRequest, dataset_id: str, project_id: str) -> HttpResponse:
    """Take the offer back."""
    dataset = dataset_get_for(user=request.user, dataset_id=dataset_id)
    project = project_get_for(user=request.user, project_id=project_id)
    return _answer(
        request,
        dataset,
        lambda: dataset_offer_withdraw(actor=request.user, dataset=dataset, project=project),
        f"No longer offered to {project}. Approved runs continue.",
    )


@member_required
@require_POST
def version_withdraw(request: MemberRequest, dataset_id: str, number: int) -> HttpResponse:
    """Keep a version out of new runs."""
    dataset = dataset_get_for(user=request.user, dataset_id=dataset_id)
    version = dataset.versions.filter(number=number).first()
    if version is None:
        raise Http404("No such version.")
    return _answer(
        request,
        dataset,
        lambda: dataset_version_withdraw(actor=request.user, version=version),
        f"Version {number} was withdrawn. New runs can't use it.",
    )
