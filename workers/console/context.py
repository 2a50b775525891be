"""What every page of the console needs: its navigation, and which site it is."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from splitcore.errors import AppError
from workers.console import access
from workers.console.site import site
from workers.decisions import open_decisions

_NAV = (
    ("Status", "/", "activity-heartbeat"),
    ("Datasets", "/datasets", "database"),
    ("Add a dataset", "/add", "upload"),
    ("What left", "/ledger", "arrow-up-right-circle"),
    ("Decisions", "/decisions", "user-check"),
    ("Policy", "/policy", "shield-check"),
    ("Doctor", "/doctor", "stethoscope"),
    ("Raw logs", "/logs", "file-text"),
)


def shell(request: HttpRequest) -> dict[str, Any]:
    """Navigation, the worker's name and whether the PIN was given."""
    enrolment, waiting = site().enrolment, _decisions_waiting()
    return {
        "cutlayer_version": settings.CUTLAYER_VERSION,
        "worker_name": f"{enrolment.worker_name} · {enrolment.organisation_name}" if enrolment else "Not enrolled",
        "hub_url": enrolment.hub_url if enrolment else "",
        "unlocked": access.is_unlocked(request),
        "may_add": access.may_add(request),
        "decisions_waiting": waiting,
        "nav_items": [
            {
                "label": label,
                "url": url,
                "icon": icon,
                "active": request.path == url,
                "count": waiting if url == "/decisions" else 0,
            }
            for label, url, icon in _NAV
        ],
    }


def _decisions_waiting() -> int:
    """How many certificates and contracts wait for this site; none where its files cannot be read: the page says so."""
    try:
        return len(open_decisions(site().home))
    except AppError:
        return 0
