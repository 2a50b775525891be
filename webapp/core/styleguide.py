"""What the style guide shows: made-up content for every component."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.core.paginator import Paginator
from django.utils import timezone

from interface.statuses import STATUS_LOOKS

_ORGANISATIONS = ("Clinic A", "Bank B", "Compute C", "Hospital D", "Registry E", "Lab F", "Insurer G", "Archive H")
_SHOWN_STATES = (
    "draft",
    "awaiting_approval",
    "approved",
    "starting",
    "loading_model",
    "training",
    "waiting",
    "paused",
    "dropped",
    "finishing",
    "done",
    "verified",
    "failed",
    "stopped",
    "declined",
    "voided",
    "online",
    "offline",
    "quarantined",
    "revoked",
    "expired",
)


class ExampleForm(forms.Form):
    """One field of each kind."""

    name = forms.CharField(label="Run name", help_text="Shown to every organisation of the project.", max_length=60)
    rank = forms.IntegerField(label="Adapter rank", min_value=1, max_value=256, help_text="Between 1 and 256.")
    topology = forms.ChoiceField(choices=[("u_shape", "U-shape"), ("vanilla", "Vanilla")])
    note = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), required=False)
    notify = forms.BooleanField(label="Send me a mail when it ends", required=False)


def _matrix() -> dict[str, Any]:
    """Return a who-sees-what matrix."""
    levels = {
        "Text and labels": ("own", "own", "indirect"),
        "Activations at the cut": ("own", "own", "yes"),
        "Gradients at the cut": ("own", "own", "noised"),
        "Adapter of the head and tail": ("own", "own", "aggregate"),
        "Adapter of the body": ("no", "no", "yes"),
    }
    rows = [{"label": label, "cells": [{"level": level} for level in cells]} for label, cells in levels.items()]
    rows[1]["hint"] = "Can be inverted in part."
    return {
        "parties": list(_ORGANISATIONS[:3]),
        "rows": rows,
        "notes": ["The hub carries none of this: it sees states, figures and names only."],
    }


def _lanes() -> list[dict[str, Any]]:
    """Return three lanes of a run."""
    now = timezone.now()
    losses = [2.4, 2.2, 2.1, 1.9, 1.95, 1.7, 1.6, 1.62, 1.5, 1.42]
    rows = ((0.31, 0.7, 0.12), (0.2, 0.4, 0.62), (0.4, 0.1, 0.55))
    return [
        {
            "name": name,
            "phase": phase,
            "step": 1640,
            "parts": [("compute", compute), ("send", send), ("wait", wait)],
            "losses": losses,
            "beat": now - timedelta(seconds=3 * place),
        }
        for place, (name, phase, (compute, send, wait)) in enumerate(
            zip(_ORGANISATIONS, ("training", "dropped", "waiting"), rows, strict=False)
        )
    ]


def examples() -> dict[str, Any]:
    """Return everything that the style guide's template shows."""
    now = timezone.now()
    return {
        "tabs": [
            {"label": "Overview", "url": "#", "active": True, "icon": "layout-dashboard"},
            {"label": "Approvals", "url": "#", "count": 2},
            {"label": "Configuration", "url": "#"},
            {"label": "Privacy", "url": "#"},
            {"label": "Logs", "url": "#", "count": 128},
        ],
        "states": [state for state in _SHOWN_STATES if state in STATUS_LOOKS],
        "organisations": _ORGANISATIONS,
        "moment": now - timedelta(minutes=4),
        "until": now + timedelta(minutes=59, seconds=12),
        "lanes": _lanes(),
        "page": Paginator(range(240), 25).page(4),
        "matrix": _matrix(),
        "facts": [
            ("Base model", "Example decoder, 24 layers"),
            {"label": "Cut", "value": "0–3 | 4–21 | 22–23", "hint": "U-shape: head, body, tail"},
            {"label": "Contract", "value": "9f3ab2c41d5e6f708192a3b4c5d6e7f8", "mono": True},
            ("Started by", "an engineer of Clinic A"),
        ],
        "form": ExampleForm(initial={"name": "discharge-balanced-3", "rank": 8}),
        "bad_form": ExampleForm(data={"bad-name": "", "bad-rank": "900", "bad-topology": "u_shape"}, prefix="bad"),
    }
