"""The components of the interface as template tags and filters: each draws one file of templates/components/."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from zlib import crc32

from django import template
from django.forms import BaseForm, BoundField
from django.template.context import Context
from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import is_naive, make_aware

from interface.drawings import leak_of, line_of, stack_of
from interface.formatting import (
    as_float,
    human_browser,
    human_bytes,
    human_detail,
    human_duration,
    human_number,
    human_percent,
)
from interface.icons import icon_svg
from interface.statuses import status_look

register = template.Library()

ORG_SHAPES = ("circle", "square", "triangle", "diamond", "cross", "plus", "pentagon", "ring")


def _element_id(prefix: str, *parts: object) -> str:
    """Return an id that is the same each time the same thing is drawn."""
    return f"{prefix}-{crc32(repr(parts).encode()):08x}"


# ---- filters --------------------------------------------------------------


@register.filter
def bytes_h(value: object) -> str:
    """Return a byte count with its unit, the exact count on hover."""
    number = as_float(value)
    if number is None:
        return human_bytes(value)
    return format_html('<span class="cl-num" title="{} bytes">{}</span>', f"{number:,.0f}", human_bytes(number))


@register.filter
def duration_h(value: object) -> str:
    """Return seconds or a timedelta in its two largest units."""
    return human_duration(value)


@register.filter
def number_h(value: object, digits: int | None = None) -> str:
    """Return a number with grouped thousands; the argument fixes the digits after the point."""
    return human_number(value, digits)


@register.filter
def percent_h(value: object, digits: int = 0) -> str:
    """Return a fraction (0..1) as a percentage."""
    return human_percent(value, digits)


@register.filter
def browser_h(user_agent: object) -> str:
    """Return a browser's name and system."""
    return human_browser(user_agent)


@register.filter
def detail_h(value: object) -> str:
    """Return a value of an audit entry's details as a line."""
    return human_detail(value)


@register.filter
def status_label(state: object) -> str:
    """Return the word for a state, without the chip."""
    return status_look(state).label


@register.filter
def code_h(text: object) -> SafeString:
    """Set what stands between backticks as code: remedies name commands so."""
    parts = str(text or "").split("`")
    return format_html_join(
        "", "{}", ((format_html("<code>{}</code>", part) if place % 2 else part,) for place, part in enumerate(parts))
    )


# ---- small marks ----------------------------------------------------------


@register.simple_tag
def icon(name: str, size: int = 20, css: str = "", label: str = "") -> SafeString:
    """Draw an icon of the outline set inline; give it a label only where no text stands beside it."""
    return icon_svg(name, size=size, css=css, label=label)


@register.inclusion_tag("components/status_chip.html")
def status_chip(state: object, label: str = "", title: str = "", tone: str = "") -> dict[str, Any]:
    """Draw a state as icon, colour and word."""
    look = status_look(state)
    return {"tone": tone or look.tone, "icon_name": look.icon, "label": label or look.label, "title": title}


@register.inclusion_tag("components/org_mark.html")
def org_mark(index: int, name: str = "") -> dict[str, Any]:
    """Draw an organisation's colour and shape as the charts use them; index counts from 0."""
    place = int(index) % len(ORG_SHAPES)
    return {"number": place + 1, "shape": ORG_SHAPES[place], "name": name}


@register.simple_tag
def reltime(moment: date | datetime | str | None, empty: str = "never") -> SafeString:
    """Draw a moment: relative on the page, local and UTC on hover; the script keeps it current."""
    drawn = render_to_string("components/reltime.html", {"moment": _as_utc(moment), "empty": empty})
    return SafeString(drawn.strip())  # within a sentence a line break would become a space before the full stop


@register.inclusion_tag("components/countdown.html")
def countdown(until: datetime | str, label: str = "", expired: str = "Expired") -> dict[str, Any]:
    """Draw the time that is left until a moment; fires cl:expired on the element when it is over."""
    return {"until": _as_utc(until), "label": label, "expired": expired}


def _as_utc(moment: date | datetime | str | None) -> datetime | None:
    """Return a moment in UTC, from a datetime, a date or ISO text."""
    if not moment:
        return None
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    return (make_aware(moment, UTC) if is_naive(moment) else moment).astimezone(UTC)


@register.inclusion_tag("components/fingerprint.html")
def fingerprint(value: str, words: str = "", label: str = "Key fingerprint") -> dict[str, Any]:
    """Draw a fingerprint in groups of four, to be compared by eye, with a copy button."""
    prefix, separator, digits = (
        str(value or "").rpartition(":") if str(value).upper().startswith("SHA256:") else ("", "", str(value or ""))
    )
    plain = digits.replace(":", "").replace(" ", "")
    groups = [plain[start : start + 4] for start in range(0, len(plain), 4)]
    return {
        "prefix": f"{prefix}{separator}",
        "groups": groups,
        "value": value,
        "words": words,
        "label": label,
        "element_id": _element_id("fp", value),
    }


# ---- blocks ---------------------------------------------------------------


@register.inclusion_tag("components/empty_state.html")
def empty_state(
    icon_name: str,
    title: str,
    text: str = "",
    action_url: str = "",
    action_label: str = "",
    secondary_url: str = "",
    secondary_label: str = "",
) -> dict[str, Any]:
    """Draw what a list says while it is empty: what would be here and the next step."""
    return locals()


@register.inclusion_tag("components/command_block.html")
def command_block(command: str, label: str = "Run this command", note: str = "") -> dict[str, Any]:
    """Draw a command with a copy button that also works without clipboard access."""
    return {"command": command, "label": label, "note": note, "element_id": _element_id("cmd", label, command)}


@register.inclusion_tag("components/stat_tile.html")
def stat_tile(
    label: str,
    value: object,
    unit: str = "",
    hint: str = "",
    icon_name: str = "",
    tone: str = "",
    element_id: str = "",
    big: bool = False,
) -> dict[str, Any]:
    """Draw one figure with its name; element_id puts an id on the value, for live updates."""
    return locals()


@register.inclusion_tag("components/key_values.html")
def key_values(items: Sequence[Any], compact: bool = False) -> dict[str, Any]:
    """Draw a definition list from (label, value) pairs or dicts with label, value, hint, mono, url."""
    rows = [dict(row) if isinstance(row, Mapping) else {"label": row[0], "value": row[1]} for row in items]
    return {"rows": rows, "compact": compact}


@register.inclusion_tag("components/page_tabs.html")
def page_tabs(tabs: Sequence[Mapping[str, Any]], label: str = "Sections of this page") -> dict[str, Any]:
    """Draw the tabs of a page: links given as dicts with label, url, active, count, icon."""
    return {"tabs": tabs, "label": label}


@register.inclusion_tag("components/error_panel.html")
def error_panel(
    error: object = None,
    code: str = "",
    title: str = "",
    message: str = "",
    cause: str = "",
    remedy: str = "",
    owner: str = "",
    tone: str = "danger",
) -> dict[str, Any]:
    """Draw an error: its code with a link to its help, what happened, why, and what to do (and who)."""
    given = {"code": code, "title": title, "message": message, "cause": cause, "remedy": remedy, "owner": owner}
    found = {key: value or _part(error, key) for key, value in given.items()}
    return {**found, "tone": tone}


def _part(source: object, key: str) -> object:
    """Return one part of an error that is a dict, an exception or a record."""
    if isinstance(source, Mapping):
        return source.get(key) or ""
    return getattr(source, key, "") or ""


@register.inclusion_tag("components/progress.html")
def progress(
    value: object, maximum: object = 100, label: str = "Progress", text: str = "", element_id: str = ""
) -> dict[str, Any]:
    """Draw a progress bar; without a value it shows that the end is not known yet."""
    known, whole = as_float(value), as_float(maximum) or 0.0
    share = known / whole if known is not None and whole > 0 else None
    return {
        "value": None if known is None else f"{known:g}",
        "maximum": f"{whole:g}",
        "label": label,
        "text": text or (human_percent(share) if share is not None else ""),
        "element_id": element_id,
    }


@register.inclusion_tag("components/disabled_button.html")
def disabled_button(label: str, reason: str, icon_name: str = "", css: str = "btn-primary") -> dict[str, Any]:
    """Draw a button that cannot be used now and says why, on hover, on focus and to screen readers."""
    return {
        "label": label,
        "reason": reason,
        "icon_name": icon_name,
        "css": css,
        "element_id": _element_id("why", label, reason),
    }


@register.inclusion_tag("components/who_sees_what.html")
def who_sees_what(matrix: Mapping[str, Any], caption: str = "Who sees what in this run") -> dict[str, Any]:
    """Draw the matrix: parties are names; a row has a label, a hint and cells.

    A cell has a level (yes, indirect, own, noised, aggregate or no) and a note.
    """
    return {"parties": matrix["parties"], "rows": matrix["rows"], "caption": caption, "notes": matrix.get("notes", [])}


@register.inclusion_tag("components/pagination.html", takes_context=True)
def pagination(context: Context, page_obj: Any, parameter: str = "page") -> dict[str, Any]:
    """Draw the pages of a list; keeps the other query parameters."""
    request = context.get("request")
    query = request.GET.copy() if request is not None else None
    if query is not None:
        query.pop(parameter, None)
    prefix = f"?{query.urlencode()}&" if query else "?"
    pages = page_obj.paginator.get_elided_page_range(page_obj.number, on_each_side=1, on_ends=1)
    return {
        "page_obj": page_obj,
        "prefix": f"{prefix}{parameter}=",
        "pages": list(pages),
        "gap": page_obj.paginator.ELLIPSIS,
    }


@register.inclusion_tag("components/live_pill.html")
def live_pill(element_id: str = "live-pill", state: str = "connecting") -> dict[str, Any]:
    """Draw the connection pill that static/js/live.js keeps current."""
    return {"element_id": element_id, "state": state}


@register.inclusion_tag("components/loss_chart.html")
def loss_chart(element_id: str, title: str = "Loss", metric: str = "Loss", toolbar: bool = True) -> dict[str, Any]:
    """Draw the frame of a chart (toolbar, plot, text summary, table) that static/js/charts.js fills."""
    return locals()


# ---- drawings without a script --------------------------------------------


@register.inclusion_tag("components/stack_bar.html")
def stack_bar(parts: Sequence[Any], unit: str = "s", label: str = "Step time") -> dict[str, Any]:
    """Draw (name, value) parts as one bar; the names compute, send and wait have their own colours."""
    return stack_of(parts, unit=unit, label=label)


@register.inclusion_tag("components/sparkline.html")
def sparkline(values: Sequence[object], label: str = "", width: int = 120, height: int = 28) -> dict[str, Any]:
    """Draw a small line of values without axes; label says in words what it shows."""
    return {**line_of(values, width=width, height=height), "label": label}


@register.inclusion_tag("components/leak_bar.html")
def leak_bar(channel: Any) -> dict[str, Any]:
    """Draw what was read on a channel, with its interval, and what the same attack gets on other records."""
    return {"channel": channel, **leak_of(channel.figures.tokens, channel.null and channel.null.tokens)}


# ---- forms ----------------------------------------------------------------

_CHECKS = {"checkbox"}
_CHOICES = {"radioselect", "checkboxselectmultiple"}
_SELECTS = {"select", "selectmultiple", "nullbooleanselect", "selectdate"}


@register.inclusion_tag("components/field.html")
def field(bound: BoundField, unit: str = "", hint: str = "", label: str = "", source: str = "") -> dict[str, Any]:
    """Draw a form field: label, control, unit, help and errors, tied together for screen readers."""
    kind = bound.widget_type
    base = bound.auto_id or bound.html_name
    help_text = hint or bound.help_text
    described = [
        f"{base}_{part}"
        for part, there in (("unit", unit), ("help", help_text), ("error", bound.errors))
        if there and not (part == "unit" and kind in _CHECKS)
    ]
    css = "form-check-input" if kind in _CHECKS | _CHOICES else "form-select" if kind in _SELECTS else "form-control"
    attrs: dict[str, str | bool] = {
        "class": f"{bound.field.widget.attrs.get('class', '')} {css} {'is-invalid' if bound.errors else ''}".strip()
    }
    placeholder = str(bound.field.widget.attrs.get("placeholder", "")).lower()
    if placeholder and placeholder.startswith(str(bound.label or "-").lower()):
        attrs["placeholder"] = ""  # it would only repeat the label
    if described and kind not in _CHOICES:
        attrs["aria-describedby"] = " ".join(described)
    return {
        "bound": bound,
        "control": bound.as_widget(attrs=attrs),
        "label": label or bound.label,
        "help_text": help_text,
        "unit": unit,
        "source": source,
        "base": base,
        "check": kind in _CHECKS,
        "group": kind in _CHOICES,
        "optional": not bound.field.required and kind not in _CHECKS,
    }


@register.inclusion_tag("components/form_fields.html")
def form_fields(form: BaseForm) -> dict[str, Any]:
    """Draw the error summary, the hidden fields and every visible field of a form."""
    return {"form": form}


@register.inclusion_tag("components/form_errors.html")
def form_errors(form: BaseForm, title: str = "") -> dict[str, Any]:
    """Draw the summary of a form's errors, each linking to its field; it takes the focus on load."""
    fields = [bound for bound in form if bound.errors] if form.is_bound else []
    others = form.non_field_errors() if form.is_bound else []
    return {"fields": fields, "others": others, "count": len(fields) + len(others), "title": title}


# ---- wrappers -------------------------------------------------------------


@register.simple_block_tag
def table_region(content: str, label: str, css: str = "") -> SafeString:
    """Wrap a wide table in a region that scrolls sideways and can be reached by keyboard."""
    return render_to_string("components/table_region.html", {"content": content, "label": label, "css": css})


@register.simple_block_tag
def panel(
    content: str,
    title: str = "",
    icon_name: str = "",
    subtitle: str = "",
    css: str = "",
    flush: bool = False,
    element_id: str = "",
) -> SafeString:
    """Wrap content in a titled card; flush leaves out the padding, for a table."""
    return render_to_string("components/panel.html", locals())


@register.simple_block_tag(takes_context=True)
def confirm_dialog(
    context: Context,
    content: str,
    element_id: str,
    title: str,
    action: str = "",
    confirm: str = "Confirm",
    cancel: str = "Cancel",
    tone: str = "primary",
    survives: str = "",
    typed: str = "",
) -> SafeString:
    """Wrap text (and inputs) in a dialog with a POST form; open it with data-dialog-open="ID".

    survives says what is kept; typed asks for that word first (revoke and withdraw only).
    """
    shown = {key: value for key, value in locals().items() if key != "context"}
    return render_to_string("components/confirm_dialog.html", {**shown, "csrf_token": context.get("csrf_token", "")})
