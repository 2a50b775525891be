"""`cutlayer worker trust`, `distrust`, `approve`, `unapprove`: what people of this site decide, not the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from splitcore.errors import AppError
from workers.agreement import contract_lines
from workers.approvals import ApprovalBook
from workers.cli.console import out, show_error
from workers.decisions import PURPOSES, asked_purpose, open_decisions, purpose_of_row
from workers.enrol import fingerprint_groups
from workers.policy import SitePolicy
from workers.settings import WorkerConfig, WorkerHome
from workers.trust import Purpose, TrustBook, plain_fingerprint

HomeOption = Annotated[Path | None, typer.Option("--home", help="The worker's folder (CUTLAYER_WORKER_HOME).")]


def trust(
    fingerprints: Annotated[
        list[str] | None, typer.Argument(help="64 hex digits each, in any grouping. Default: list what is waiting.")
    ] = None,
    purpose: Annotated[
        str,
        typer.Option(
            "--as",
            help="compute: may compute on this site's rows. data: may train at this compute site. Default: as named"
            " in the waiting contract, else data.",
        ),
    ] = "",
    home: HomeOption = None,
) -> None:
    """Trust the certificates of other sites' workers, as told by their operators, not by the hub."""
    folder = WorkerHome.find(home)
    WorkerConfig.load(folder)
    if not fingerprints:
        _list_certificates(folder)
        return
    if purpose not in ("", *PURPOSES):
        raise typer.BadParameter(f"{purpose!r} is not compute or data.", param_hint="--as")
    failed = False
    with TrustBook.changing(folder) as book:
        for text in fingerprints:
            try:
                plain = plain_fingerprint(text)
                chosen: Purpose = _purpose(purpose) if purpose else asked_purpose(folder, plain)
                out.print(Text(f"Trusted {PURPOSES[chosen]}: {fingerprint_groups(book.add(plain, chosen))}"))
            except AppError as error:
                show_error(error)
                failed = True
    if failed:
        raise typer.Exit(1)


def distrust(
    fingerprints: Annotated[list[str], typer.Argument(help="64 hex digits each, in any grouping.")],
    home: HomeOption = None,
) -> None:
    """Take trust in a certificate back, for every purpose. What runs with it here is ended within seconds."""
    folder = WorkerHome.find(home)
    WorkerConfig.load(folder)
    with TrustBook.changing(folder) as book:
        for text in fingerprints:
            out.print(Text(f"No longer trusted: {fingerprint_groups(book.remove(text))}"))


def _purpose(text: str) -> Purpose:
    return "compute" if text == "compute" else "data"


def _list_certificates(folder: WorkerHome) -> None:
    waiting = [row for row in open_decisions(folder) if row.kind == "certificate"]
    if not waiting:
        out.print(Text("No certificates are waiting to be trusted."))
        return
    out.print(
        Text("Not trusted here yet. The hub's names are unverified, so compare each fingerprint with its operator.")
    )
    for row in waiting:
        out.print(Text.assemble("\n", (row.title, "bold")))
        out.print(Text(f"  {fingerprint_groups(row.subject)}"))
        out.print(Text(f"  cutlayer worker trust {row.subject} --as {purpose_of_row(row)}"))


def approve(
    hashes: Annotated[
        list[str] | None, typer.Argument(help="A contract hash, all 64 digits. Default: list what is waiting.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Approve contracts for this site (`approve: local` in policy.yaml); nothing starts before."""
    folder = WorkerHome.find(home)
    config = WorkerConfig.load(folder)
    if not hashes:
        _list_contracts(folder, config.worker_id)
        return
    with ApprovalBook.changing(folder) as book:
        for text in hashes:
            out.print(Text(f"Approved at this site: {book.add(text, by='command')}"))
    _tell_who_approves(folder)


def unapprove(
    hashes: Annotated[list[str], typer.Argument(help="A contract hash, all 64 digits.")],
    home: HomeOption = None,
) -> None:
    """Take this site's approval of contracts back. What runs under one here is ended within seconds."""
    folder = WorkerHome.find(home)
    WorkerConfig.load(folder)
    with ApprovalBook.changing(folder) as book:
        for text in hashes:
            out.print(Text(f"No longer approved: {book.remove(text)}"))
    _tell_who_approves(folder)


def _tell_who_approves(folder: WorkerHome) -> None:
    if SitePolicy.load(folder.policy_file).approve == "hub":
        out.print(Text("policy.yaml sets `approve: hub`, so this site needs no approval of its own."))


def _list_contracts(folder: WorkerHome, worker_id: str) -> None:
    waiting = [row for row in open_decisions(folder) if row.kind == "contract"]
    if not waiting:
        out.print(Text("No contracts are waiting for this site's approval."))
        return
    for row in waiting:
        out.print(Text.assemble("\n", (f"Contract {row.subject}", "bold")))
        for heading, words in contract_lines(row.detail, worker_id=worker_id):
            out.print(Text(f"  {heading + ':':<14} {words}"))
        out.print(Text(f"  Approve it with: cutlayer worker approve {row.subject}"))
