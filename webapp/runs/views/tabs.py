"""The tabs that a run's pages share."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from webapp.runs.models import Run, RunState


def run_tabs(run: Run, active: str) -> list[dict[str, Any]]:
    """Live view, logs, configuration, privacy, approvals, artefacts: each an address of its own."""
    tabs = [
        ("detail", "Overview", "activity"),
        ("logs", "Logs", "list-details"),
        ("config", "Configuration", "adjustments"),
        ("privacy", "Privacy", "eye"),
        ("approvals", "Approvals", "checks"),
        ("artefacts", "Artefacts", "package"),
    ]
    hidden = {"approvals"} if not run.contract else set()
    if run.state == RunState.DRAFT:
        hidden |= {"logs", "artefacts"}
    return [
        {"label": label, "url": reverse(f"runs:{key}", args=[run.id]), "active": key == active, "icon": icon}
        for key, label, icon in tabs
        if key not in hidden
    ]
