"""Who changed what of a draft since a form was filled: the later of two saves is told, and decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from splitcore.errors import AppError
from webapp.accounts.models import User
from webapp.datasets.models import DatasetVersion
from webapp.fleet.models import Worker
from webapp.runs.configure.schema import field_specs
from webapp.runs.configure.values import older_forms, put_at, value_at
from webapp.runs.models import ParticipantRole, Run
from webapp.runs.services.choices import PartyChoice

_MOST_EDITS = 500  # fields of which the last author is kept


@dataclass(frozen=True)
class Basis:
    """What a form was filled from: a version of the draft, and the tab whose own saves are no news to it.

    `theirs_since` asks for the stored values of all that others changed after that version and up to `version`.
    """

    version: int
    tab: str = ""
    theirs_since: int | None = None


@dataclass(frozen=True)
class Draft:
    """Everything of a draft that a form sets."""

    name: str
    note: str
    start_when_approved: bool
    public_prompts: list[str]
    config: dict[str, Any]
    parties: list[PartyChoice] | None

    @classmethod
    def stored(cls, run: Run) -> Draft:
        """The draft as it is in the database."""
        parties = [
            PartyChoice(row.role, row.worker_id, row.dataset_version_id or "", row.receives_adapter)
            for row in run.participants.all()
        ]
        return cls(run.name, run.note, run.start_when_approved, list(run.public_prompts), dict(run.config), parties)

    def fields(self) -> dict[str, Any]:
        """Its values by path, defaults included where the configuration leaves them out."""
        found: dict[str, Any] = {
            "name": self.name,
            "note": self.note,
            "start_when_approved": self.start_when_approved,
            "public_prompts": self.public_prompts,
        }
        found |= {spec.path: value_at(self.config, spec) for spec in field_specs()}
        own = self.config.get("parties")
        found |= {f"parties.{name}": value for name, value in own.items()} if isinstance(own, Mapping) else {}
        for choice in self.parties or ():
            found[_party_path(choice)] = (choice.dataset_version_id, choice.receives)
        return found

    def taking(self, other: Draft, paths: Sequence[str]) -> Draft:
        """This draft with the other one's values at these paths."""
        top = {name: getattr(other, name) for name in _TOP if name in paths}
        config = deepcopy(older_forms(self.config))
        values = other.fields()
        for spec in field_specs():
            if spec.path in paths:
                put_at(config, spec, values[spec.path])
        for path in paths:
            section, _, name = path.partition(".")
            if section == "parties":
                own = config.setdefault(section, {})
                own.update({name: values[path]} if path in values else {})
                if path not in values:
                    own.pop(name, None)
        parties = self.parties
        if parties is not None:
            theirs = [choice for choice in other.parties or () if _party_path(choice) in paths]
            parties = [choice for choice in parties if _party_path(choice) not in paths] + theirs
        return Draft(**{**self.__dict__, "config": config, "parties": parties, **top})


@dataclass(frozen=True)
class Conflict:
    """A field that somebody else changed since, and that this save would set to another value."""

    path: str
    theirs: Any
    mine: Any
    by: str
    by_id: str
    at: str


_TOP = ("name", "note", "start_when_approved", "public_prompts")


def _party_path(choice: PartyChoice) -> str:
    return f"party.{choice.role}.{choice.worker_id}"


def draft_settle(run: Run, draft: Draft, basis: Basis | None) -> Draft:
    """The draft as it may be stored over a locked run. Raises CL-1540 where it would undo what others changed."""
    if basis is None or (run.draft_version <= basis.version and basis.theirs_since is None):
        return draft
    stored = Draft.stored(run)
    if basis.theirs_since is not None:
        since, until = basis.theirs_since, basis.version
        draft = draft.taking(stored, [p for p, e in _edits(run, basis.tab) if since < e["version"] <= until])
    conflicts = _conflicts(run, stored, draft, basis)
    if conflicts:
        raise AppError(
            "CL-1540",
            details={"conflicts": [conflict.__dict__ for conflict in conflicts], "version": run.draft_version},
        )
    return draft


def _edits(run: Run, tab: str) -> list[tuple[str, dict[str, Any]]]:
    return [(path, edit) for path, edit in run.draft_edits.items() if not tab or edit["tab"] != tab]


def _conflicts(run: Run, stored: Draft, draft: Draft, basis: Basis) -> list[Conflict]:
    theirs, mine = stored.fields(), draft.fields()
    return [
        Conflict(path, _shown(path, theirs), _shown(path, mine), edit["by"], edit["by_id"], edit["at"])
        for path, edit in _edits(run, basis.tab)
        if edit["version"] > basis.version and theirs.get(path) != mine.get(path)
        if draft.parties is not None or not path.startswith("party.")
    ]


def _shown(path: str, values: Mapping[str, Any]) -> Any:
    """A value in words; what a party brings is named."""
    value = values.get(path)
    if not path.startswith("party."):
        return value
    if value is None:
        return "not taking part"
    version = DatasetVersion.objects.filter(id=value[0]).select_related("dataset").first()
    words = [f"{version.dataset.name} v{version.number}"] if version else ["computes"]
    return ", ".join([*words, "receives the adapter" if value[1] else "does not receive the adapter"])


def draft_note_edits(run: Run, before: Mapping[str, Any], *, actor: User, tab: str) -> None:
    """Number a locked, saved draft anew and note for each changed field who changed it (unsaved)."""
    after = Draft.stored(run).fields()
    changed = [path for path in {**before, **after} if before.get(path) != after.get(path)]
    if not changed and run.draft_version:
        return
    run.draft_version += 1
    edit = {
        "version": run.draft_version,
        "by": str(actor),
        "by_id": actor.id,
        "at": timezone.now().isoformat(),
        "tab": tab,
    }
    edits = {**run.draft_edits, **dict.fromkeys(changed, edit)}
    newest = sorted(edits, key=lambda path: edits[path]["version"])[-_MOST_EDITS:]
    run.draft_edits = {path: edits[path] for path in newest}


def party_label(path: str) -> str:
    """The words for `party.<role>.<worker>`."""
    _, role, worker_id = path.split(".", 2)
    worker = Worker.objects.filter(id=worker_id).select_related("organisation").first()
    what = "compute worker" if role == ParticipantRole.SERVER else "dataset"
    return f"{worker.organisation.name}, {what} on {worker.name}" if worker else f"A {what}"
