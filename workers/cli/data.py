"""`cutlayer worker data`: add, list, delete datasets of this worker from its own terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from splitcore.errors import CATALOGUE, AppError
from workers.data.checking import stage_checked
from workers.data.lengths import Longer
from workers.data.register import is_registered, register, register_pending
from workers.data.store import DatasetStore
from workers.hub import HubClient
from workers.models_registry import ModelRegistry
from workers.settings import WorkerEnvironment, WorkerHome

app = typer.Typer(help="Datasets of this worker. Rows never leave this machine.", no_args_is_help=True)
out = Console()

HomeOption = Annotated[Path | None, typer.Option("--home", help="The worker's folder.")]


def _mapping(pairs: list[str]) -> dict[str, str] | None:
    """`prompt=column` pairs. Raises CL-1215."""
    mapping = {}
    for pair in pairs:
        role, separator, column = pair.partition("=")
        if not separator or not column:
            raise AppError("CL-1215", f"'{pair}' isn't in the form role=column.")
        mapping[role] = column
    return mapping or None


@contextmanager
def _named_by_options() -> Iterator[None]:
    """What to type, where the page would say what to select."""
    try:
        yield
    except AppError as error:
        if error.code == "CL-1215":
            error.remedy = (
                "Name the columns: --column prompt=NAME --column completion=NAME, or text=NAME (with label=NAME), or "
                "messages=NAME."
            )
            if columns := error.details.get("columns"):
                error.remedy += f" The file has: {', '.join(columns)}."
        raise


@app.command("add")
def add(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    name: Annotated[str, typer.Option(help="Name of the dataset, as sent to the hub.")] = "",
    heldout: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="File of held-out rows.")] = None,
    column: Annotated[list[str] | None, typer.Option(help="role=column, e.g. prompt=question.")] = None,
    eval_fraction: Annotated[float, typer.Option(min=0.0, max=0.5, help="Share of rows to hold out.")] = 0.1,
    model: Annotated[str, typer.Option(help="Registered base model whose tokenizer is used to measure lengths.")] = "",
    columns: Annotated[bool, typer.Option("--columns/--no-columns", help="Send the column names to the hub.")] = True,
    lengths: Annotated[bool, typer.Option("--lengths/--no-lengths", help="Send the token lengths to the hub.")] = True,
    labels: Annotated[bool, typer.Option("--labels/--no-labels", help="Send the label names to the hub.")] = True,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Send the metadata without asking.")] = False,
    home: HomeOption = None,
) -> None:
    """Check a file, show what would leave this machine, store it here and tell the hub its metadata."""
    site = WorkerHome.find(home)
    store, registry = DatasetStore(site.root), ModelRegistry(site)
    size = sum(path.stat().st_size for path in (file, heldout) if path is not None)
    quota = WorkerEnvironment().dataset_quota_bytes
    store.check_quota(size, quota)
    known = registry.all()
    model = model or (known[0].model_id if len(known) == 1 else "")
    with out.status("Checking every row") as status, _named_by_options():
        staged_id = stage_checked(
            store,
            file,
            on_rows=lambda rows: status.update(f"Checking every row: {rows:,} so far"),
            heldout=heldout,
            mapping=_mapping(column or []),
            eval_fraction=eval_fraction,
            model_folder=registry.folder_of(model) if model else None,
            tokenizer=model,
            quota=quota,
        )
    with store.unless_confirmed(staged_id):
        _print_report(store.staged_report(staged_id))
        metadata = store.propose(
            staged_id, name or file.stem, with_lengths=lengths, with_columns=columns, with_labels=labels
        )
        if note := store.note(metadata):
            out.print(f"\n[yellow]{note}[/]")
        out.print("\nThis would be sent to the hub, and nothing else:")
        out.print_json(metadata.model_dump_json())
        if not yes and not typer.confirm("Store the dataset here and send this?"):
            out.print("Nothing was stored and nothing was sent.")
            raise typer.Exit(1)
        stored = store.confirm(staged_id, metadata)
    hub = HubClient.of(site)
    try:
        register(stored, hub)
    finally:
        hub.close()
    out.print(f"[green]{metadata.name} v{metadata.version}[/] is on this worker. The hub has its metadata.")


@app.command("list")
def list_(home: HomeOption = None) -> None:
    """Every version on this machine."""
    table = Table("Name", "Version", "Training rows", "Held out", "Hub has metadata", "Added")
    for stored in DatasetStore(WorkerHome.find(home).root).versions():
        meta = stored.metadata
        when = meta.created_at.astimezone().strftime("%Y-%m-%d %H:%M")
        known = "yes" if is_registered(stored) else "not yet"
        table.add_row(meta.name, str(meta.version), str(meta.train_rows), str(meta.heldout_rows), known, when)
    out.print(table)


@app.command("send")
def send(home: HomeOption = None) -> None:
    """Send the metadata that an absent hub has not got yet."""
    site = WorkerHome.find(home)
    hub = HubClient.of(site)
    started = time.monotonic()
    try:
        sent = register_pending(DatasetStore(site.root), hub)
    finally:
        hub.close()
    out.print(f"{sent} sent in {time.monotonic() - started:.1f} s.")


@app.command("delete")
def delete(
    name: str, version: int, yes: Annotated[bool, typer.Option("--yes", "-y")] = False, home: HomeOption = None
) -> None:
    """Delete a version's rows from this machine. The hub marks it as gone when the worker tells it, within seconds."""
    if not yes:
        typer.confirm(f"Delete the rows of {name} v{version} from this machine?", abort=True)
    DatasetStore(WorkerHome.find(home).root).delete(name, version)
    out.print("Deleted.")


def _print_report(report: dict[str, Any]) -> None:
    out.print(
        f"{report['train_rows']} training rows, {report['heldout_rows']} held out, {report['duplicates']} duplicates, "
        f"{report['bad_rows']} bad rows left out."
    )
    for label, counts in report["labels"].items():
        out.print(f"  label {label}: {counts['train']} training rows, {counts['heldout']} held out", markup=False)
    for problem in report["problems"][:20]:
        code = problem["code"]
        out.print(f"  {problem['file']} line {problem['line']}: [yellow]{code}[/] {CATALOGUE[code].title}")
    if report["longest"]:
        out.print(f"Longest row: {report['longest']} tokens of {report['tokenizer']}.")
    for one in (Longer(**stored) for stored in report.get("longer", [])):
        if one.rows:
            left_out = f", {one.without_target:,} of them left out: their prompt alone is that long" * bool(
                one.without_target
            )
            out.print(f"  longer than {one.words}: {one.rows:,} rows, which a run of that length truncates{left_out}.")
