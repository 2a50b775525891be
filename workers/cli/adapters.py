"""`cutlayer adapters`: download what a run has made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from splitcore.errors import AppError
from workers.cli.console import out
from workers.rest import RestClient

app = typer.Typer(no_args_is_help=True, help="Adapters, over the hub's REST API (CUTLAYER_HUB, CUTLAYER_TOKEN).")


@app.callback()
def group() -> None:
    """Adapters, over the hub's REST API (CUTLAYER_HUB, CUTLAYER_TOKEN)."""


@app.command()
def download(
    run: Annotated[str, typer.Argument(help="The run's id, or an adapter's.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The zip file to write.")],
) -> None:
    """Download a run's verified adapter as a zip."""
    client = RestClient.from_environment()
    adapter = run if run.startswith("adp_") else _only_adapter_of(client, run)
    size = client.download(f"/adapters/{adapter}/download", output)
    out.print(Text(f"{output}  {size / 1e6:.1f} MB"))


def _only_adapter_of(client: RestClient, run: str) -> str:
    """The adapter of a run; where each party has its own, one has to be named."""
    adapters = client.get(f"/runs/{run}")["adapters"]
    if not adapters:
        raise AppError("CL-1704", "The run has no adapter yet.")
    if len(adapters) > 1:
        raise AppError("CL-1704", "The run has several adapters.", f"Name one of them: {', '.join(adapters)}.")
    return str(adapters[0])
