"""A run's page and its tabs; the buttons that control it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from splitcore.config import decided
from splitcore.errors import AppError
from webapp.accounts.models import User
from webapp.adapters.models import AdapterState
from webapp.orgs.http import MemberRequest, answer_action, member_required
from webapp.orgs.permissions import Action, can, why_not
from webapp.runs.availability import start_why_not
from webapp.runs.configure.forms import yaml_of
from webapp.runs.configure.privacy import Party, cut_warnings, who_sees_what
from webapp.runs.configure.values import labels_of, older_forms
from webapp.runs.contract import config_agreed, diff
from webapp.runs.finishing.handing_out import download_organisation, why_no_download
from webapp.runs.life.failing import meets_again, mender_of
from webapp.runs.life.recovering import can_continue
from webapp.runs.lifecycle.quarantine import quarantined_part
from webapp.runs.live.page import live_page
from webapp.runs.models import Run, RunState
from webapp.runs.permissions import (
    can_edit_run,
    can_resume_run,
    can_start_run,
    can_stop_run,
    held_by_of,
    resume_why_not,
)
from webapp.runs.selectors import domain_table, run_get_for, visible_parents
from webapp.runs.selectors.audits import audited_parts
from webapp.runs.services import run_archive, run_clone, run_delete, run_pause, run_resume, run_start, run_stop
from webapp.runs.states import EDITABLE, ENDED, LIVE
from webapp.runs.views.tabs import run_tabs
from webapp.telemetry.selectors import parties_of, record_json, records_visible_to
from webapp.telemetry.series import series_of
from workers.contracts import LogPayload


def run_context(request: MemberRequest, run: Run, tab: str) -> dict[str, Any]:
    """What every tab of a run shows: header, tabs, and which buttons the person has."""
    user = request.user
    resumable = run.state == RunState.PAUSED or (can_continue(run) and not meets_again(run))
    resumable = resumable and quarantined_part(run) is None
    startable = run.state == RunState.APPROVED and can_start_run(user, run)
    return {
        "run": run,
        "parent": visible_parents(user, [run]).get(run.parent_id or ""),
        "tabs": run_tabs(run, tab),
        "can_edit": run.state in EDITABLE and can_edit_run(user, run),
        "can_start": startable,
        "start_why_not": start_why_not(run) if startable else "",
        "can_stop": run.state in LIVE - {RunState.STOPPING} and can_stop_run(user, run),
        "can_pause": run.state in (RunState.TRAINING, RunState.RECOVERING) and can_stop_run(user, run),
        "can_resume": resumable and can_resume_run(user, run),
        "resume_why_not": resume_why_not(user, run) if resumable and can_start_run(user, run) else "",
        "lower_rate": meets_again(run),
        "mender": mender_of(run),
        "can_restore": run.is_archived and can_edit_run(user, run),
        "can_clone": can(user, Action.CONFIGURE_RUN, request.organisation),
        "clone_why_not": why_not(user, Action.CONFIGURE_RUN, request.organisation),
        "can_archive": not run.is_archived
        and run.state in ENDED | {RunState.DRAFT, RunState.DECLINED}
        and can_edit_run(user, run),
        "is_live": run.state in LIVE or can_continue(run),
        "offers": offers_of(user, run),
    }


def offers_of(user: User, run: Run) -> list[dict[str, Any]]:
    """The verified adapters of a finished run: whether this person may download each, else who may."""
    if run.state != RunState.DONE:
        return []
    offers = []
    for adapter in run.adapters.filter(state=AdapterState.READY).select_related("run"):
        try:
            download_organisation(user, adapter)
        except AppError as error:
            offers.append({"adapter": adapter, "why_not": error.message})
        else:
            offers.append({"adapter": adapter, "why_not": ""})
    return offers


@member_required
@require_safe
def detail(request: MemberRequest, run_id: str) -> HttpResponseBase:
    """The live page; a draft goes to its form."""
    run = run_get_for(user=request.user, run_id=run_id)
    if run.state == RunState.DRAFT and can_edit_run(request.user, run):
        return redirect("runs:edit", run.id)
    page = live_page(user=request.user, run=run)
    places = [
        {"key": lane["party"], "label": lane["organisation"], "place": lane["place"], "role": lane["role"]}
        for lane in page.lanes
    ]
    context = {
        **run_context(request, run, "detail"),
        "page": page,
        "places": places,
        "table": _table(series_of(run)),
        "labels": labels_of(run.config),
    }
    return render(request, "runs/detail.html", context)


def _table(series: dict[str, Any]) -> list[dict[str, Any]]:
    """The last points of each curve, for readers without scripts."""
    return [
        {"party": party, "name": name.replace("_", " "), "points": points[name][-8:]}
        for party, points in series.items()
        for name in ("loss", "eval_loss", "accuracy", "macro_f1")
        if points.get(name)
    ]


@member_required
@require_safe
def live(request: MemberRequest, run_id: str) -> HttpResponse:
    """The page's changing parts, as the script fetches them after a change."""
    run = run_get_for(user=request.user, run_id=run_id)
    context = {**run_context(request, run, "detail"), "page": live_page(user=request.user, run=run)}
    return render(request, "runs/_live.html", context)


LEVELS = get_args(LogPayload.model_fields["level"].annotation)


@member_required
@require_safe
def logs(request: MemberRequest, run_id: str) -> HttpResponse:
    """Typed log lines; a partner's stay with the partner."""
    run = run_get_for(user=request.user, run_id=run_id)
    level, part = request.GET.get("level", ""), request.GET.get("part", "")
    parties = parties_of(run)
    rows = records_visible_to(request.user, run).filter(kind="log")
    parts = [parties[one] for one in rows.order_by().values_list("participant", flat=True).distinct() if one in parties]
    if level in LEVELS:
        rows = rows.filter(payload__level=level)
    if part in parties:
        rows = rows.filter(participant=part)
    lines = [record_json(record=row, run=run, parties=parties) for row in rows.order_by("-seq")[:300]]
    context = {
        **run_context(request, run, "logs"),
        "lines": lines,
        "level": level,
        "levels": LEVELS,
        "part": part,
        "parts": sorted(parts, key=lambda one: (one.organisation.name, one.party)),
    }
    return render(request, "runs/logs.html", context)


@member_required
@require_safe
def config(request: MemberRequest, run_id: str) -> HttpResponse:
    """The configuration as YAML, what differs from the parent, and the commands that make the same run."""
    run = run_get_for(user=request.user, run_id=run_id)
    parts = run.participants.select_related("worker", "organisation", "dataset_version__dataset")
    context = {
        **run_context(request, run, "config"),
        "yaml": yaml_of(run.config),
        "parts": parts,
        "parent_diff": diff(older_forms(run.parent_config), older_forms(run.config))
        if run.parent_config is not None
        else [],
        "curl": curl_of(run, list(parts)),
    }
    return render(request, "runs/config.html", context)


def curl_of(run: Run, parts: list[Any]) -> str:
    """A request that makes the same draft by the API."""
    body = {
        "project": run.project_id,
        "name": run.name,
        "config": run.config,
        "parties": [
            {"role": p.role, "worker": p.worker_id, "dataset_version": p.dataset_version_id or ""} for p in parts
        ],
        "public_prompts": run.public_prompts,
    }
    text = json.dumps(body, indent=2, ensure_ascii=False).replace("'", "'\\''")
    return (
        f'curl {settings.BASE_URL}/api/v1/runs -H "Authorization: Bearer $CUTLAYER_TOKEN"'
        f" -H 'Content-Type: application/json' -d '{text}'"
    )


@member_required
@require_safe
def privacy(request: MemberRequest, run_id: str) -> HttpResponse:
    """Who sees what in this run."""
    run = run_get_for(user=request.user, run_id=run_id)
    context = {**run_context(request, run, "privacy"), "audited": audited_parts(request.user, run)}
    try:
        parsed = config_agreed(run)
    except AppError as error:
        return render(request, "runs/privacy.html", {**context, "error": error})
    rows = run.participants.select_related("organisation")
    parties = [Party(p.organisation.name, p.role, p.receives_adapter) for p in rows]
    if not run.contract:
        parsed = decided(parsed, [party.name for party in parties if party.role == "client"])
    context |= {
        "config": parsed,
        "matrix": who_sees_what(parsed, parties, prompts=bool(run.public_prompts)),
        "warnings": cut_warnings(parsed),
        "moved": run.summary.get("bytes") or {},
        "traffic": json.loads(run.contract)["traffic"] if run.contract else [],
    }
    return render(request, "runs/privacy.html", context)


@member_required
@require_safe
def artefacts(request: MemberRequest, run_id: str) -> HttpResponse:
    """Adapters, evaluation, and the comparison with the project's other runs."""
    run = run_get_for(user=request.user, run_id=run_id)
    context = {
        **run_context(request, run, "artefacts"),
        "adapters": [(adapter, why_no_download(adapter)) for adapter in run.adapters.select_related("run")],
        "table": domain_table(run.project, like=run) if run.state == RunState.DONE else None,
        "segments": run.segments.select_related("participant__organisation"),
        "notes": run.summary.get("notes") or [],
    }
    return render(request, "runs/artefacts.html", context)


# The states in which the notice of an action is still true; the run's page takes it away with them.
_TRUE_IN: dict[str, tuple[RunState, ...]] = {
    "start": (RunState.STARTING,),
    "stop": (RunState.STOPPING,),
    "pause": (RunState.PAUSED,),
    "resume": (RunState.PAUSED, RunState.RECOVERING, RunState.TRAINING),
}
_ACTIONS: dict[str, tuple[Callable[..., Run], str]] = {
    "start": (run_start, "The run is starting."),
    "stop": (run_stop, "Stop requested. The run is stopped once every worker has confirmed."),
    "pause": (run_pause, "The run is paused. Each worker finishes its current step first."),
    "resume": (run_resume, "The run continues."),
    "archive": (
        run_archive,
        "The run was archived. Nothing was deleted. To see it, select “Archived runs” above the table.",
    ),
    "restore": (partial(run_archive, archived=False), "The run was restored."),
}


def _perform(user: User, run: Run, action: str, reason: str) -> str:
    service, done = _ACTIONS[action]
    if action == "stop":
        service(actor=user, run=run, reason=reason)
    else:
        run = service(actor=user, run=run)
    if action == "resume" and run.held_by:
        names = " and ".join(one.name for one in held_by_of(run))
        return f"Your organisation has lifted its hold. The run continues once {names} resumes it too."
    return done


@member_required
@require_POST
def control(request: MemberRequest, run_id: str, action: str) -> HttpResponse:
    """Start, stop, pause, resume, archive, restore."""
    run = run_get_for(user=request.user, run_id=run_id)
    try:
        done = _perform(request.user, run, action, request.POST.get("reason", ""))
        messages.success(request, done, extra_tags=" ".join(_TRUE_IN.get(action, ())))
    except AppError as error:
        if error.code == "CL-1601":
            raise
        messages.error(request, f"{error.message} {error.remedy} ({error.code})")
    return redirect(reverse("runs:list") if action == "archive" else reverse("runs:detail", args=[run.id]))


@member_required
@require_POST
def delete(request: MemberRequest, run_id: str) -> HttpResponse:
    """Delete a draft for good."""
    run = run_get_for(user=request.user, run_id=run_id)
    return answer_action(
        request,
        lambda: run_delete(actor=request.user, run=run),
        done=f"The draft {run.name} was deleted.",
        to="runs:list",
    )


@member_required
@require_POST
def clone(request: MemberRequest, run_id: str) -> HttpResponse:
    """A new draft from this run."""
    run = run_get_for(user=request.user, run_id=run_id)
    lower = "lower_rate" in request.POST
    new = run_clone(actor=request.user, run=run, organisation=request.organisation, lower_rate=lower)
    if lower and new.config != run.config:
        rate = new.config["training"]["learning_rate"]
        messages.success(request, f"This is a clone with a learning rate of {rate:g}, a tenth of its parent's.")
    else:
        messages.success(request, "This is a clone. The differences from its parent are shown at the bottom.")
    return redirect("runs:edit", new.id)
