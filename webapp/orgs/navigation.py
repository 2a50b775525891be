"""The tabs of an organisation's pages."""

from __future__ import annotations

from typing import Any

_TABS = (
    ("Profile", "/org", "building"),
    ("People and roles", "/org/people", "users"),
    ("Invitations", "/org/invitations", "mail"),
    ("API tokens", "/org/tokens", "key"),
)


def organisation_tabs(active: str) -> list[dict[str, Any]]:
    """The tabs, the one at the address `active` marked."""
    return [{"label": label, "url": url, "icon": icon, "active": url == active} for label, url, icon in _TABS]
