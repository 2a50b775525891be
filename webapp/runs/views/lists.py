"""The table of runs, and two to four of them side by side."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from webapp.orgs.http import MemberRequest, member_required
from webapp.orgs.permissions import Action, why_not
from webapp.projects.selectors import projects_visible_to
from webapp.runs.live.eta import run_seconds
from webapp.runs.models import Run, RunState
from webapp.runs.selectors import runs_visible_to
from webapp.runs.selectors.comparison import differences
from webapp.runs.selectors.tables import against_first, results_table
from webapp.runs.states import LIVE

SORTS = {
    "newest": ("Newest", "-created_at"),
    "oldest": ("Oldest", "created_at"),
    "name": ("Name", "name"),
    "state": ("State", "state"),
    "changed": ("Last change", "-state_since"),
}
COLUMNS = ("project", "steps", "loss", "traffic", "started")


def _filtered(request: MemberRequest) -> QuerySet[Run]:
    query = request.GET
    runs = runs_visible_to(request.user)
    if query.get("state") == "live":
        runs = runs.filter(state__in=LIVE)
    elif query.get("state") in RunState.values:
        runs = runs.filter(state=query["state"])
    if query.get("project"):
        runs = runs.filter(project_id=query["project"])
    if query.get("q", "").strip():
        runs = runs.filter(name__icontains=query["q"].strip())
    runs = runs.filter(is_archived="archived" in query)
    return runs.order_by(SORTS.get(query.get("sort", ""), SORTS["newest"])[1])


@member_required
@require_safe
def run_list(request: MemberRequest) -> HttpResponse:
    """All runs that the person can see; filter, order and columns are in the address."""
    chosen = request.GET.getlist("column") or list(COLUMNS)
    page = Paginator(_filtered(request), 25).get_page(request.GET.get("page"))
    filtered = any(request.GET.get(name) for name in ("state", "project", "q", "archived"))
    context = {
        "page_obj": page,
        "projects": projects_visible_to(request.user),
        "states": RunState.choices,
        "sorts": [(key, label) for key, (label, _) in SORTS.items()],
        "columns": [(name, name in chosen) for name in COLUMNS],
        "shown": chosen,
        "filtered": filtered,
        "only_archived": not page.object_list and not filtered and runs_visible_to(request.user).exists(),
        "query": request.GET,
        "new_why_not": why_not(request.user, Action.CONFIGURE_RUN, request.organisation),
    }
    return render(request, "runs/list.html", context)


@member_required
@require_safe
def compare(request: MemberRequest) -> HttpResponse:
    """Two to four runs: their results, who took part, and only that in which they differ."""
    wanted = request.GET.getlist("run")[:4]
    parts = ("participants__organisation", "participants__worker", "participants__dataset_version__dataset")
    found = {run.id: run for run in runs_visible_to(request.user).filter(id__in=wanted).prefetch_related(*parts)}
    runs = [found[run_id] for run_id in dict.fromkeys(wanted) if run_id in found]
    table = results_table(runs, "") if any(run.summary.get("evaluation") for run in runs) else None
    context: dict[str, Any] = {
        "runs": [(run, run_seconds(run)) for run in runs],
        "rows": differences(runs),
        "table": table,
        "sentences": against_first(table) if table else [],
    }
    return render(request, "runs/compare.html", context)
