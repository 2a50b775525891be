"""The command `cutlayer`: a site's worker, runs over the REST API, audit files, a whole training on one machine."""

from __future__ import annotations

import sys

import typer

from splitcore.errors import AppError
from workers.cli import adapters, audit, runs, train, worker
from workers.cli.console import show_error

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(worker.app, name="worker")
app.add_typer(runs.app, name="runs")
app.add_typer(adapters.app, name="adapters")
app.add_typer(audit.app, name="audit")
app.command("train")(train.train)


def main() -> None:
    """Run the command; an error of ours is printed as code, sentence and remedy, and ends it with status 1."""
    try:
        app()
    except AppError as error:
        show_error(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
