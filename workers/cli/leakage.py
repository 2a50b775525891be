"""`cutlayer audit CONFIG`: measure on this machine what a run of this configuration would leak of some rows."""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from interface.formatting import human_share
from splitcore.audit.portfolio import Size, portfolio
from splitcore.config import RunConfig, config_text
from splitcore.errors import AppError
from workers.cli.console import err, out
from workers.cli.local import Rows, local_model, quiet_libraries, rows_of

if TYPE_CHECKING:
    from splitcore.audit.result import AuditResult
    from splitcore.audit.run import Progress as AuditProgress


def measure(
    config: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The run as YAML.")],
    data: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="Rows to attack, as JSON Lines, CSV or Parquet.")
    ],
    size: Annotated[
        Size,
        typer.Option(help="quick: a first look, in minutes. full: enough records to claim anything."),
    ] = "quick",
    report: Annotated[
        Path | None, typer.Option("--report", help="Write an HTML report of the figures to this file.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Draws the attacked rows.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print progress and the result as JSON lines.")] = False,
) -> None:
    """Measure what the compute organisation could read of your rows, by attacking a real split training of them.

    Everything stays on this machine; the frames and guesses are deleted at the end. Ends with status 1 where the audit
    fails its controls, since its figures then say nothing.
    """
    if report is not None and not report.parent.is_dir():
        raise AppError("CL-1010", f"The folder {report.parent} of the report doesn't exist.")
    run = local_model(RunConfig.from_yaml(config_text(config)), config)
    rows = rows_of(data.name, data, run)
    run = run.model_copy(update={"data": run.data.model_copy(update={"columns": {}}), "parties": {}})
    result = _audited(run, rows, size, seed, as_json=as_json)
    if report is not None:
        from splitcore.audit.report import report_html

        report.write_text(report_html(result, subject=config.stem), encoding="utf-8")
    if as_json:
        out.print(json.dumps({"kind": "result", **result.model_dump(mode="json")}), markup=False)
    else:
        _tell(result, report)
    if not result.valid:
        raise AppError("CL-1552")


def _audited(run: RunConfig, rows: Rows, size: Size, seed: int, *, as_json: bool) -> AuditResult:
    """Audit in a folder of its own, which nobody else can read and which goes at the end, at Ctrl-C or TERM too."""
    quiet_libraries()
    from splitcore.audit.run import audit

    live = out.is_terminal and not as_json
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        _ended_in_order(),
        tempfile.TemporaryDirectory(prefix="cutlayer-audit-") as folder,
        Progress(*columns, console=out, disable=not live, transient=True) as display,
    ):
        task = display.add_task("starting", total=None)

        def show(now: AuditProgress) -> None:
            display.update(task, description=now.stage, completed=now.done, total=now.total)
            if as_json:
                event = {"kind": "progress", "stage": now.stage, "done": now.done, "total": now.total}
                out.print(json.dumps(event), markup=False)
            elif not live:
                err.print(f"{now.done} of {now.total}: {now.stage}")

        return audit(run, rows, Path(folder), portfolio(size), seed=seed, on_progress=show)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """TERM ends the block as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(result: AuditResult, report: Path | None) -> None:
    from splitcore.audit.report import CAVEAT

    table = Table("Channel", "Attack", "Tokens read", "95 % interval", "On other records", box=None, pad_edge=False)
    for column in table.columns[:4]:
        column.no_wrap = True
    for attack in result.attacks:
        if attack.figures is None:
            table.add_row(attack.channel, attack.attack, attack.outcome.replace("_", " "), "", "")
            continue
        tokens, null = attack.figures.tokens, attack.null
        interval = f"{human_share(tokens.low)} to {human_share(tokens.high)}"
        other = human_share(null.tokens.value) if null else "not measured"
        table.add_row(attack.channel, attack.attack, human_share(tokens.value), interval, other)
    out.print(table)
    for why in result.why_not_run:
        out.print(Text(f"Not run, or failed: {why}"))
    out.print(Text(result.assumption))
    for control in result.controls:
        out.print(Text(f"{'Passed' if control.passed else 'FAILED'}: {control.words}"))
    if result.shapes is not None:
        out.print(Text(result.shapes.words))
    if result.membership is not None:
        out.print(Text(result.membership.words))
    for leak in result.found_leaks:
        out.print(Text(f"FOUND: {leak.words}. {leak.told}"))
    out.print(Text(_ceiling_words(result)))
    out.print(Text(CAVEAT))
    if report is not None:
        out.print(Text(f"Report: {report}"))


def _ceiling_words(result: AuditResult) -> str:
    ceiling = result.ceiling
    if ceiling is None or ceiling.why_none:
        why = ceiling.why_none if ceiling else ""
        return f"No ceiling: nothing bounds what a stronger attack reads of hidden states. {why}".strip()
    if not ceiling.says_something:
        return "Ceiling on hidden states: noise of this size bounds nothing."
    sentences = list[str]()
    if ceiling.at_null is not None and ceiling.at_null.says_something:
        sentences.append(
            f"Somebody who guesses {human_share(ceiling.at_null.kappa)} of a prompt's tokens without the hidden states "
            f"gets at most {human_share(ceiling.at_null.value)} with them."
        )
    if ceiling.telling:
        points = [f"{human_share(one.value)} for {human_share(one.kappa)}" for one in ceiling.telling]
        sentences.append(
            "Ceiling on hidden states, by the share of a prompt's tokens that a reader of the rest of the text guesses "
            f"without them: {', '.join(points)}."
        )
    return " ".join(sentences)
