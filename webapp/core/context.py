"""What every page's shell needs: navigation, organisations, counters."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from webapp.core.file_mail import mail_kept_in

_NAV = (
    ("Home", "/home", "home"),
    ("Inbox", "/inbox", "inbox"),
    ("Projects", "/projects", "folders"),
    ("Runs", "/runs", "activity"),
    ("Datasets", "/datasets", "database"),
    ("Workers", "/org/workers", "server-2"),
    ("Organisation", "/org", "building"),
    ("Audit", "/audit", "shield-check"),
)


def _active(path: str, url: str) -> bool:
    """Whether `path` lies below a navigation entry; /org/workers is not below /org."""
    if url == "/org":
        return path == "/org" or (path.startswith("/org/") and not path.startswith("/org/workers"))
    if url == "/org/workers":
        return path.startswith(("/org/workers", "/workers"))
    return path == url or path.startswith(url + "/")


def shell(request: HttpRequest) -> dict[str, Any]:
    """Context of base.html. Anonymous visitors read here what the hub is, and where its mails lie if none goes out."""
    context: dict[str, Any] = {
        "cutlayer_version": settings.CUTLAYER_VERSION,
        "site_name": settings.SITE_NAME,
        "mail_kept_in": mail_kept_in(),
    }
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return context
    from webapp.orgs.selectors import organisations_of
    from webapp.runs.selectors import needs_action_count

    count = needs_action_count(user)
    context |= {
        "current_organisation": getattr(request, "organisation", None),
        "organisations": organisations_of(user),
        "needs_action_count": count,
        "nav_items": [
            {
                "label": label,
                "url": url,
                "icon": icon,
                "active": _active(request.path, url),
                "count": count if url == "/inbox" else 0,
            }
            for label, url, icon in _NAV
        ],
    }
    return context
