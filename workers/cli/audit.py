"""`cutlayer audit`: measure leakage, or check an export of the hub's audit log without the hub."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from splitcore.audit_export import EXPORT_BYTES_MAX, CheckedExport, export_check
from splitcore.errors import AppError
from workers.cli.console import out
from workers.cli.leakage import measure
from workers.contracts import ChainHead
from workers.settings import WorkerConfig, WorkerHome
from workers.witness import Witness


class _MeasuresUnlessToldElse(TyperGroup):
    """`cutlayer audit CONFIG` is `cutlayer audit measure CONFIG`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """See `click.Group.resolve_command`."""
        own = args if args[0] in self.commands else ["measure", *args]
        return super().resolve_command(ctx, own)


app = typer.Typer(cls=_MeasuresUnlessToldElse, no_args_is_help=True)
app.command("measure")(measure)


@app.callback()
def group() -> None:
    """Audits: what a run would leak of your rows (CONFIG, or measure CONFIG), and exports of the hub's audit log."""


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The export, as CSV or JSON Lines.", exists=True, dir_okay=False)],
    key: Annotated[
        Path | None,
        typer.Option(help="The hub's public key in PEM. Default: the key stored by the worker.", exists=True),
    ] = None,
    home: Annotated[Path | None, typer.Option("--home", help="The worker's folder (CUTLAYER_WORKER_HOME).")] = None,
) -> None:
    """Check that the hub has signed this file as it is. Needs no network; ends with status 1 if not."""
    if file.stat().st_size > EXPORT_BYTES_MAX:
        raise AppError("CL-1437", f"The file is larger than {EXPORT_BYTES_MAX >> 30} GiB.")
    folder = WorkerHome.find(home)
    kept = Witness(folder.root).kept() if key is None else None
    pem = key.read_text(errors="replace") if key else _pinned_key(folder, file)
    checked = export_check(file.read_bytes(), pem)
    told = checked.statement
    out.print(Text(f"Signed by the hub (key {told.hub_key[:16]}…) on {told.exported_at:%Y-%m-%d %H:%M:%S} UTC."))
    out.print(Text(f"{told.entries} entries of {told.organisation_id}; filter: {told.filter or 'none'}."))
    if checked.form == "json":
        out.print(Text("Each entry matches its hash and, where the file contains it, the previous entry."))
    out.print(Text(f"The hub's whole log ended at entry {told.sequence}, hash {told.head or 'none'}."))
    if kept is not None:
        out.print(Text(compare(checked, kept)))


def _pinned_key(folder: WorkerHome, file: Path) -> str:
    """The hub's key that the worker keeps. Raises AppError CL-1420, with the way for those who have no worker."""
    try:
        return WorkerConfig.load(folder).enrolment.hub_public_key_pem
    except AppError as error:
        raise AppError(
            error.code,
            f"{error.message} So no hub key is stored here.",
            "Take the key from the hub's audit page (Audit, The hub's public key), then run: "
            f"cutlayer audit verify {shlex.quote(str(file))} --key hub_public_key.pem",
        ) from None


def compare(checked: CheckedExport, kept: ChainHead) -> str:
    """What the worker's own memory of the log says of an export. Raises AppError CL-1448 where they contradict."""
    told = checked.statement
    ends_there = told.epoch == kept.epoch and told.sequence == kept.sequence
    shown = told.head if ends_there else checked.hashes.get(kept.sequence)
    if shown is None:
        return f"It doesn't contain entry {kept.sequence}, the last one this worker has seen."
    if shown != kept.head:
        raise AppError(
            "CL-1448", f"Entry {kept.sequence} is {shown[:12]} in the file; this worker has seen {kept.head[:12]}."
        )
    return f"It agrees with entry {kept.sequence}, the last one this worker has seen."
