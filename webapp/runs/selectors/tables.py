"""Results on each organisation's held-out rows, run beside run, and the sentence that they come to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from interface.formatting import human_number, human_percent
from webapp.projects.models import Project
from webapp.runs.models import ParticipantRole, Run, RunState
from webapp.runs.words import listed


@dataclass
class DomainColumn:
    """One way of answering: the base model, or the adapter of one run."""

    key: str
    label: str
    hint: str = ""  # who trained in it
    run: Run | None = None


@dataclass
class DomainRow:
    """One data organisation's held-out rows under every column."""

    party: str
    name: str
    cells: list[dict[str, Any] | None] = field(default_factory=list)
    best: int = -1  # the column that is best by loss and by exact match; none where the two disagree


@dataclass
class DomainTable:
    """Organisation × {base, each alone, together}."""

    model: str
    columns: list[DomainColumn]
    rows: list[DomainRow]
    conclusion: str = ""


def _clients(run: Run) -> list[str]:
    return [p.party for p in run.participants.all() if p.role == ParticipantRole.CLIENT]


def trained_by(run: Run) -> str:
    """The organisations whose rows a run trained on, in words."""
    names = [p.organisation.name for p in run.participants.all() if p.role == ParticipantRole.CLIENT]
    return listed(names) or "nobody"


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
    table = results_table(ordered, base[0])
    table.conclusion = together_or_alone(table)
    return table


def results_table(runs: list[Run], model: str) -> DomainTable:
    """The runs' results beside each other, with the base model where all of them have the same."""
    measured = [run for run in runs if run.summary.get("evaluation")]
    same = len({_base_key(run) for run in measured}) == 1
    columns = [DomainColumn("base", "Base model")] if same else []
    columns += [DomainColumn(run.id, run.name, f"trained by {trained_by(run)}", run) for run in measured]
    parties = sorted({party for run in measured for party in run.summary["evaluation"]})
    names = {p.party: p.organisation.name for run in measured for p in run.participants.all()}
    return DomainTable(model, columns, [_row(party, names.get(party, party), measured, same) for party in parties])


def _row(party: str, name: str, runs: list[Run], base: bool) -> DomainRow:
    results = [run.summary["evaluation"].get(party) for run in runs]
    first = next((result for result in results if result), None)
    cells = [{"loss": r["loss"], "exact_match": r["exact_match"]} if r else None for r in results]
    if base:
        known = {"loss": first["base_loss"], "exact_match": first["base_exact_match"]} if first else None
        cells = [known, *cells]
    return DomainRow(party, name, cells, _best(cells))


def _best(cells: list[dict[str, Any] | None]) -> int:
    known = [(place, cell) for place, cell in enumerate(cells) if cell and cell["loss"] is not None]
    if not known:
        return -1
    place, best = min(known, key=lambda one: one[1]["loss"])
    return place if best["exact_match"] >= max(cell["exact_match"] for _, cell in known) else -1


def together_or_alone(table: DomainTable) -> str:
    """One sentence from loss and exact match: what training together did for each that also trained alone."""
    joint = [place for place, column in enumerate(table.columns) if column.run and len(_clients(column.run)) > 1]
    if not joint:
        return ""
    clauses = []
    for row in table.rows:
        alone = [p for p, column in enumerate(table.columns) if column.run and _clients(column.run) == [row.party]]
        if alone:
            clauses.append(_clause(row, alone[-1], joint[-1]))
    words = "; ".join(clause for clause in clauses if clause)
    return f"Training together, compared with training alone, was {words}." if words else ""


def against_first(table: DomainTable) -> list[str]:
    """For each further run a sentence that compares it with the first one, where both were measured."""
    places = [place for place, column in enumerate(table.columns) if column.run]
    sentences = []
    for place in places[1:]:
        clauses = [clause for row in table.rows if (clause := _clause(row, places[0], place))]
        if clauses:
            new, old = table.columns[place].label, table.columns[places[0]].label
            sentences.append(f"“{new}”, compared with “{old}”, was {'; '.join(clauses)}.")
    return sentences


_SAME_LOSS, _SAME_MATCH = 0.01, 0.005  # of the loss; of all rows


def _clause(row: DomainRow, old: int, new: int) -> str:
    """Better, worse or mixed for one organisation, with both figures; "" where one of them is missing."""
    before, after = row.cells[old], row.cells[new]
    if before is None or after is None or None in (before["loss"], after["loss"]):
        return ""
    loss = before["loss"] - after["loss"]
    signs = {
        _sign(loss, _SAME_LOSS * abs(before["loss"])),
        _sign(after["exact_match"] - before["exact_match"], _SAME_MATCH),
    }
    verdict = "mixed" if signs >= {1, -1} else "better" if 1 in signs else "worse" if -1 in signs else "the same"
    match = _change(human_percent(before["exact_match"], 1), human_percent(after["exact_match"], 1))
    losses = _change(human_number(before["loss"], 3), human_number(after["loss"], 3))
    return f"{verdict} for {row.name} (exact match {match}, loss {losses})"


def _change(before: str, after: str) -> str:
    """Two figures as they are shown, each on one line; once where they show the same."""
    before, after = (text.replace(" ", "\N{NO-BREAK SPACE}") for text in (before, after))
    return f"{before} in both" if before == after else f"{before} to {after}"


def _sign(change: float, least: float) -> int:
    return 0 if abs(change) <= least else 1 if change > 0 else -1
