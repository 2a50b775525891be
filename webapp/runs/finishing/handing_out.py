"""Handing an adapter out: to the contract's recipients, and to the workers that verify it."""

from __future__ import annotations

from pathlib import Path

from django.http import Http404

from splitcore.errors import AppError
from webapp.accounts.models import User
from webapp.adapters.models import Adapter, AdapterState
from webapp.adapters.selectors import recipient_organisations
from webapp.adapters.services.segments import media_path
from webapp.audit.services import audit_record
from webapp.core.transactions import service
from webapp.fleet.models import Worker
from webapp.orgs.models import Organisation
from webapp.orgs.permissions import Action, can, denial
from webapp.orgs.selectors import membership_of
from webapp.runs.kinds.checks import has_to_check
from webapp.runs.models import Participant, Run, RunState

_ENDED: dict[str, str] = {RunState.FAILED: "failed", RunState.STOPPED: "was stopped", RunState.DECLINED: "was declined"}


def download_organisation(user: User, adapter: Adapter) -> Organisation:
    """The recipient for which the person may download. Raises CL-1601 with what is missing."""
    recipients = recipient_organisations(adapter)
    for organisation in recipients:
        if can(user, Action.DOWNLOAD_ADAPTER, organisation):
            return organisation
    for organisation in recipients:
        membership = membership_of(user, organisation)
        if membership is not None:
            raise AppError("CL-1601", *denial(membership, Action.DOWNLOAD_ADAPTER, organisation))
    names = ", ".join(organisation.name for organisation in recipients) or "no organisation"
    raise AppError(
        "CL-1601",
        f"The contract gives the adapter to {names} only.",
        "Ask one of them, or agree on a new contract that names your organisation as a recipient.",
    )


def no_adapter(run: Run, adapter: Adapter | None = None) -> AppError:
    """Why there is nothing to download: the run has ended without an adapter, or is not so far."""
    if adapter is not None and adapter.state == AdapterState.FAILED:
        return AppError("CL-1703")
    if run.state in (RunState.FAILED, RunState.STOPPED, RunState.DECLINED):
        code = str((run.failure or {}).get("code", ""))
        because = f" with {code}" if code and run.state == RunState.FAILED else ""
        return AppError("CL-1707", f"The run {run.name} {_ENDED[run.state]}{because}, so it has no adapter.")
    shown = adapter.get_state_display().lower() if adapter is not None else "not made yet"
    return AppError("CL-1704", f"The run {run.name} is {run.get_state_display().lower()}, and its adapter is {shown}.")


@service
def adapter_download(*, actor: User, adapter: Adapter) -> Path:
    """The verified archive, for a recipient; every download is in the audit log."""
    organisation = download_organisation(actor, adapter)
    if adapter.state != AdapterState.READY or adapter.run.state != RunState.DONE:
        raise no_adapter(adapter.run, adapter)
    path = media_path(adapter.archive)
    if not path.is_file():
        raise AppError(
            "CL-1701", "The adapter's archive is missing on the hub's disk.", "Tell the hub's administrator."
        )
    audit_record(
        actor=actor,
        action="adapter.downloaded",
        organisation_id=organisation.id,
        project_id=adapter.run.project_id,
        object_id=adapter.id,
        details={"run": adapter.run_id, "sha256": adapter.sha256},
    )
    return path


def adapter_for_worker(*, worker: Worker, run_id: str, adapter_id: str, participant_id: str) -> Path:
    """The joined PEFT folder (zip) for a worker that has to check it; for any other it does not exist."""
    participant = (
        Participant.objects.filter(pk=participant_id, run_id=run_id, worker=worker).select_related("run").first()
    )
    if participant is None or participant.run.state != RunState.FINISHING:
        raise Http404("No such adapter.")
    if not has_to_check(participant, adapter_id):
        raise Http404("No such adapter.")
    return media_path(participant.run.adapters.get(pk=adapter_id).archive)


def why_no_download(adapter: Adapter) -> str:
    """Why the download is not offered yet; empty when it is."""
    if adapter.state == AdapterState.FAILED:
        return "The adapter failed its load check, so it can't be downloaded."
    if adapter.state == AdapterState.COLLECTING:
        return "The segments are still being joined."
    if adapter.state == AdapterState.JOINED:
        if adapter.run.state == RunState.FINISHING:
            return "A recipient's worker is loading the adapter. You can download it once every check has passed."
        return "No worker has loaded the adapter, so it isn't verified."
    if adapter.state == AdapterState.UNVERIFIED:
        gone = "its worker is gone, or didn't load it in time" if adapter.party else "no worker has loaded it"
        return f"Not verified: {gone}."
    if adapter.run.state != RunState.DONE:
        return "The archive is being built. The remaining evaluations are still running."
    return ""
