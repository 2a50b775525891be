"""The table that says whether training together was worth it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from webapp.projects.models import Project
from webapp.runs.models import ParticipantRole, Run, RunState


@dataclass
class DomainColumn:
    """One way of answering: the base model, or the adapter of one run."""

    key: str
    label: str
    run: Run | None = None


@dataclass
class DomainRow:
    """One data organisation's held-out rows under every column."""

    party: str
    name: str
    cells: list[dict[str, Any] | None] = field(default_factory=list)
    best: int = -1


@dataclass
class DomainTable:
    """Organisation × {base, each alone, together}."""

    model: str
    columns: list[DomainColumn]
    rows: list[DomainRow]


def _clients(run: Run) -> list[str]:
    return [p.party for p in run.participants.all() if p.role == ParticipantRole.CLIENT]


def _label(run: Run) -> str:
    clients = [p.organisation.name for p in run.participants.all() if p.role == ParticipantRole.CLIENT]
    return "Together" if len(clients) > 1 else f"{clients[0] if clients else run.name} alone"


def _base_key(run: Run) -> tuple[str, str]:
    model = run.config.get("model") or {}
    return str(model.get("name_or_path", "")), str(model.get("manifest", ""))


def domain_table(project: Project, like: Run | None = None) -> DomainTable | None:
    """The newest finished run of each set of data organisations, on the same base model; None where there is none."""
    runs = (
        Run.objects.filter(project=project, state=RunState.DONE)
        .prefetch_related("participants__organisation")
        .order_by("-ended_at")
    )
    base = _base_key(like) if like is not None else None
    chosen: dict[frozenset[str], Run] = {}
    for run in runs:
        if not run.summary.get("evaluation"):
            continue
        base = base or _base_key(run)
        if _base_key(run) == base:
            group = frozenset(_clients(run))
            if group not in chosen or (like is not None and run.id == like.id):
                chosen[group] = run
    if not chosen or base is None:
        return None
    ordered = sorted(chosen.values(), key=lambda run: (len(_clients(run)), _clients(run)))
    columns = [DomainColumn("base", "Base model"), *(DomainColumn(run.id, _label(run), run) for run in ordered)]
    parties = sorted({party for run in ordered for party in run.summary["evaluation"]})
    names = {p.party: p.organisation.name for run in ordered for p in run.participants.all()}
    return DomainTable(base[0], columns, [_row(party, names.get(party, party), ordered) for party in parties])


def _row(party: str, name: str, runs: list[Run]) -> DomainRow:
    results = [run.summary["evaluation"].get(party) for run in runs]
    first = next((result for result in results if result), None)
    base = {"loss": first["base_loss"], "exact_match": first["base_exact_match"]} if first else None
    cells = [base, *({"loss": r["loss"], "exact_match": r["exact_match"]} if r else None for r in results)]
    losses = [(cell["loss"], place) for place, cell in enumerate(cells) if cell]
    return DomainRow(party, name, cells, min(losses)[1] if losses else -1)
