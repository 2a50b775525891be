"""The archives of a finishing run, and its end."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone

from webapp.adapters.models import Adapter, AdapterState
from webapp.adapters.services.archives import write_zip
from webapp.adapters.services.packaging import package_entries
from webapp.adapters.services.segments import media_path
from webapp.core.transactions import service
from webapp.runs.kinds.checks import checks_request, is_able
from webapp.runs.life.apply import run_apply
from webapp.runs.life.events import Event, Happening
from webapp.runs.locking import run_lock
from webapp.runs.models import Run, RunState
from webapp.runs.timeline import timeline_event
from workers.contracts import HubEvent

CHECK_DEADLINE = timedelta(minutes=15)


def run_overdue(run: Run) -> bool:
    """Whether the load checks have had their time."""
    return timezone.now() - run.state_since > CHECK_DEADLINE


def adapter_package(run_id: str) -> None:
    """Build the archives of a finishing run whose checks are in (or overdue), and end the run. Safe to repeat."""
    if not _is_due(run_id):
        return
    built: dict[str, tuple[str, str, int]] = {}
    for adapter in Adapter.objects.filter(run_id=run_id, state=AdapterState.READY).select_related("run"):
        archive = str(Path(adapter.folder).with_suffix(".zip"))
        built[adapter.id] = (archive, *write_zip(media_path(archive), package_entries(adapter)))
    _complete(run_id, built)


@service
def _is_due(run_id: str) -> bool:
    """Whether no check is waited for any more: a party may have gone since the last look, and another is asked then."""
    run = run_lock(run_id)
    if run.state != RunState.FINISHING or not run.adapters.exists():
        return False
    return not checks_request(run) or run_overdue(run)


@service
def _complete(run_id: str, built: dict[str, tuple[str, str, int]]) -> None:
    run = run_lock(run_id)
    if run.state != RunState.FINISHING:
        return
    notes = []
    for adapter in run.adapters.all():
        if adapter.id in built:
            adapter.archive, adapter.sha256, adapter.bytes = built[adapter.id]
            adapter.save(update_fields=["archive", "sha256", "bytes", "updated_at"])
        else:
            adapter.state = AdapterState.UNVERIFIED if adapter.state == AdapterState.JOINED else adapter.state
            adapter.save(update_fields=["state", "updated_at"])
            notes.append(_why_unverified(run, adapter))
    missing = [
        p.organisation.name for p in run.participants.select_related("organisation") if _unreported(run, p.id, p)
    ]
    if missing:
        notes.append(f"No evaluation came from {', '.join(sorted(set(missing)))}.")
    run.summary = {**run.summary, **_final(run), "notes": notes}
    run.save(update_fields=["summary", "updated_at"])
    for note in notes:
        timeline_event(run, HubEvent.RUN_NOTE, note)
    run_apply(run, Event(Happening.PACKAGED, "The adapter is verified." if built else "The run has ended."))


def _why_unverified(run: Run, adapter: Adapter) -> str:
    """An adapter of one party's own is loaded by that party or by an evaluator; any other by whoever is there."""
    if not adapter.party:
        return "No worker has loaded the adapter, so it can't be downloaded."
    part = run.participants.select_related("organisation", "worker").get(party=adapter.party)
    why = "did not load it in time" if is_able(part) else "is gone"
    return (
        f"The adapter of {part.organisation.name} is not verified: its worker {part.worker.name} {why}. It can't be"
        " downloaded."
    )


def _unreported(run: Run, participant_id: str, participant: Any) -> bool:
    return bool(participant.dataset_version_id) and not any(participant_id in a.reports for a in run.adapters.all())


def _final(run: Run) -> dict[str, Any]:
    """Steps, seconds of training and the evaluation table, as the summary keeps them."""
    table: dict[str, Any] = {}
    for adapter in run.adapters.all():
        table |= {
            party: result
            for party, result in adapter.evaluation.items()
            if party not in table or party == adapter.party
        }
    start = run.training_at or run.started_at
    seconds = (run.state_since - start).total_seconds() if start else 0.0  # it was moved to finishing then
    return {"steps": run.step, "seconds": round(seconds, 3), "evaluation": table}
