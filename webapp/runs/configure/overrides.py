"""What single organisations set for themselves: the form's section per data organisation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from splitcore.config import PartyOverride

_WHOLE = re.compile(r"-?[0-9]{1,18}")
INHERITED = {  # where an empty field takes its value from
    "rank": "lora.rank",
    "batch_size": "training.batch_size",
    "head_layers": "split.head_layers",
    "tail_layers": "split.tail_layers",
}


@dataclass
class OverrideField:
    """One optional value of one organisation, ready to be drawn."""

    name: str
    html_name: str
    label: str
    help: str
    unit: str
    inherits: str  # the element that holds the common value
    placeholder: str
    text: str
    error: str = ""

    @property
    def element_id(self) -> str:
        """An id without dots."""
        return "f-" + self.html_name.replace(".", "-")


@dataclass
class PartyFields:
    """An organisation's optional values; `known` is false for a name in the configuration that takes no part."""

    party: str
    title: str
    place: int
    known: bool
    fields: list[OverrideField] = field(default_factory=list)
    error: str = ""


@dataclass(frozen=True)
class DataParty:
    """A data organisation that trains, as the section needs it."""

    key: str  # of the organisation: stays the same while the party's name is not final
    party: str
    title: str
    place: int


class Overrides:
    """The section: from the stored configuration, or from what was typed."""

    def __init__(
        self,
        data: Mapping[str, Any] | None,
        stored: Mapping[str, Any] | None,
        parties: Iterable[DataParty],
    ) -> None:
        known, old = list(parties), stored if isinstance(stored, Mapping) else {}
        strange = [name for name in old if name not in {one.party for one in known}]
        known_shown = set(str(data.get("overrides.shown", "")).split()) if data is not None else set()
        self.rows: list[PartyFields] = []
        for one in known:
            fresh = one.key not in known_shown  # it has just been chosen: its fields were not in the form
            values = None if data is None or fresh else data
            self.rows.append(_row(one, values, old.get(one.party), known=True))
        for name in strange:
            party = DataParty(f"name-{name}", name, name, 0)
            shown = data is not None and party.key in known_shown
            row = _row(party, data if shown else None, old.get(name), known=False)
            if any(item.text for item in row.fields):
                self.rows.append(row)
        self.shown = " ".join([one.key for one in known] + [f"name-{row.party}" for row in self.rows if not row.known])
        self.is_stale = data is not None and str(data.get("overrides.shown", "")) != self.shown

    def typed(self) -> dict[str, dict[str, Any]]:
        """The values by party, empty ones left out; what is no number stays as typed and fails in RunConfig."""
        found = {
            row.party: {item.name: whole_number(item.text) for item in row.fields if item.text} for row in self.rows
        }
        return {party: values for party, values in found.items() if values}

    def inherit(self, text_of: Mapping[str, str]) -> None:
        """Show in each empty field what it inherits."""
        for row in self.rows:
            for item in row.fields:
                item.placeholder = text_of.get(INHERITED[item.name], "")

    def place_problem(self, path: str, message: str) -> bool:
        """Put a message beside `parties.<name>[.<field>]`; false where no such row is shown."""
        _, _, rest = path.partition(".")
        for row in self.rows:
            if rest == row.party:
                row.error = message
                return True
            if rest.startswith(f"{row.party}."):
                name = rest.removeprefix(f"{row.party}.")
                for item in row.fields:
                    if item.name == name:
                        item.error = item.error or message
                        return True
                row.error = message
                return True
        return False

    def named(self, path: str) -> tuple[str, str] | None:
        """The words for `parties.<name>[.<field>]` and the element to go to; None where no such row is shown."""
        rest = path.partition(".")[2] if path.startswith("parties.") else ""
        for row in self.rows:
            if rest == row.party:
                return row.title, row.fields[0].element_id
            for item in row.fields:
                if rest == f"{row.party}.{item.name}":
                    return f"{item.label} of {row.title}", item.element_id
        return None

    @property
    def count(self) -> int:
        """How many values organisations set for themselves."""
        return sum(len(values) for values in self.typed().values())

    @property
    def has_news(self) -> bool:
        """Whether the section must be shown although it is an advanced one."""
        return bool(self.count) or any(row.error for row in self.rows)

    def fields(self) -> list[OverrideField]:
        """Every field, for the messages that are refreshed while a person types."""
        return [item for row in self.rows for item in row.fields]


def _row(party: DataParty, data: Mapping[str, Any] | None, stored: Any, *, known: bool) -> PartyFields:
    values = stored if isinstance(stored, Mapping) else {}
    row = PartyFields(party.party, party.title, party.place, known)
    for name, inherits in INHERITED.items():
        spec = PartyOverride.model_fields[name]
        extra = spec.json_schema_extra if isinstance(spec.json_schema_extra, dict) else {}
        html_name = f"party.{party.key}.{name}"
        text = data.get(html_name, "") if data is not None else values.get(name)
        row.fields.append(
            OverrideField(
                name=name,
                html_name=html_name,
                label=str(extra.get("label") or name),
                help=spec.description or "",
                unit=str(extra.get("unit") or ""),
                inherits="f-" + inherits.replace(".", "-"),
                placeholder="",
                text="" if text is None else str(text).strip(),
            )
        )
    return row


def whole_number(text: str) -> int | str:
    """The number that was typed; what is none, or has no size, stays as typed."""
    return int(text) if _WHOLE.fullmatch(text) else text
