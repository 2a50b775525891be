"""Inline SVG icons, read once each from the installed icon set."""

import re
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

_INSTALLED = Path(__file__).resolve().parents[2] / "node_modules" / "@tabler" / "icons" / "icons" / "outline"
_NAME = re.compile(r"[a-z0-9-]+")
_BODY = re.compile(r"<svg[^>]*>(.*)</svg>", re.DOTALL)
_FRAME = re.compile(r'<path stroke="none"[^>]*/>')
# What is drawn when the set lacks a name: a plain dot, so that a missing asset never breaks a page.
_DOT = '<circle cx="12" cy="12" r="4"/>'


@lru_cache(maxsize=512)
def icon_body(name: str) -> str:
    """Return the shapes of an icon, without the enclosing svg element."""
    path = Path(getattr(settings, "ICONS_DIR", _INSTALLED)) / f"{name}.svg"
    if not _NAME.fullmatch(name) or not path.is_file():
        return _DOT
    found = _BODY.search(path.read_text(encoding="utf-8"))
    if found is None:
        return _DOT
    return " ".join(_FRAME.sub("", found.group(1)).split())


def icon_svg(name: str, *, size: int = 20, css: str = "", label: str = "") -> SafeString:
    """Return an icon as inline SVG: hidden from assistive technology unless it has a label."""
    meaning = format_html('role="img" aria-label="{}"', label) if label else mark_safe('aria-hidden="true"')
    return format_html(
        '<svg class="cl-icon {}" width="{}" height="{}" viewBox="0 0 24 24" fill="none" stroke="currentColor" '
        'stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round" focusable="false" {}>{}</svg>',
        css,
        size,
        size,
        meaning,
        mark_safe(icon_body(name)),  # noqa: S308  (read from the installed icon set by a checked name)
    )
