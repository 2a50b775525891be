"""`cutlayer adapters`: download what a run has made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

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
    path = f"/adapters/{run}/download" if run.startswith("adp_") else f"/runs/{run}/adapter"
    size = client.download(path, output)
    out.print(Text(f"{output}  {size / 1e6:.1f} MB"))
