"""`cutlayer worker policy`: what this site allows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from workers.cli.console import out, show_json
from workers.policy import SitePolicy
from workers.settings import WorkerHome
from workers.trust import TrustBook

app = typer.Typer(no_args_is_help=True, help="What this site allows.")


@app.command()
def show(
    home: Annotated[Path | None, typer.Option("--home", help="The worker's folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the policy in force; a file that cannot be read is an error, and nothing starts then."""
    folder = WorkerHome.find(home)
    policy, trust = SitePolicy.load(folder.policy_file), TrustBook.load(folder)
    if as_json:
        show_json({"file": str(folder.policy_file), **policy.model_dump(mode="json"), "trust": trust.model_dump()})
        return
    out.print(Text(f"# {folder.policy_file}{'' if folder.policy_file.exists() else ' (no file: defaults)'}"))
    out.print(Text(policy.to_yaml()))
