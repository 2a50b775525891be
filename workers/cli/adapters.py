"""`cutlayer adapters`: download what a run has made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from workers.cli.console import out
from workers.rest import RestClient

app = typer.Typer(no_args_is_help=True, help="Download adapters from the hub, and merge them locally.")


@app.callback()
def group() -> None:
    """Adapters: download over the hub's REST API (CUTLAYER_HUB, CUTLAYER_TOKEN), merge here."""


@app.command()
def download(
    run: Annotated[str, typer.Argument(help="The id of a run or an adapter.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The zip file to write.")],
) -> None:
    """Download a run's verified adapter as a zip."""
    client = RestClient.from_environment()
    path = f"/adapters/{run}/download" if run.startswith("adp_") else f"/runs/{run}/adapter"
    size = client.download(path, output)
    out.print(Text(f"{output}  {size / 1e6:.1f} MB"))


@app.command()
def merge(
    adapter: Annotated[Path, typer.Argument(help="The adapter: a PEFT folder or the downloaded zip file.")],
    base: Annotated[Path, typer.Argument(help="The folder of its base model.")],
    output: Annotated[Path, typer.Argument(help="The output folder, new or empty.")],
    dtype: Annotated[str, typer.Option(help="auto (same as the base model), float32 or bfloat16.")] = "auto",
) -> None:
    """Write base model and adapter as one model folder (safetensors, configuration, tokenizer), on this machine."""
    if dtype not in ("auto", "float32", "bfloat16"):
        raise typer.BadParameter("auto, float32 or bfloat16", param_hint="--dtype")
    from splitcore.adapters.merge import merge_adapter  # loads torch

    report = merge_adapter(adapter, base, output, dtype=dtype)
    text = f"{report.parameters / 1e6:.1f} M parameters in {report.dtype}, {report.adapted} matrices adapted"
    out.print(Text(f"{output}  {text}"))
