"""Taking a run for writing."""

from __future__ import annotations

from webapp.runs.models import Run


def run_lock(run_id: str) -> Run:
    """The run, locked for the rest of the transaction (on SQLite the whole database is)."""
    return (
        Run.objects.select_for_update(of=("self",), no_key=True)
        .select_related("organisation", "project")
        .get(pk=run_id)
    )
