"""`cutlayer runs`: list, show, launch, watch and stop runs over the hub's REST API."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from workers.cli.console import out, show_json, show_table
from workers.cli.watching import EXIT_CODES, watch_run
from workers.rest import RestClient

app = typer.Typer(no_args_is_help=True, help="Runs, over the hub's REST API (CUTLAYER_HUB, CUTLAYER_TOKEN).")
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_runs(
    project: Annotated[str, typer.Option(help="Only runs of this project.")] = "", as_json: JsonOption = False
) -> None:
    """Your runs, newest first."""
    answer = RestClient.from_environment().get("/runs", project=project)
    runs = answer["items"] if isinstance(answer, dict) else answer
    if as_json:
        show_json(runs)
        return
    show_table(
        ("Run", "Name", "State", "Step"),
        [(run["id"], run["name"], run["state"], f"{run['step']}/{run['total_steps']}") for run in runs],
    )


@app.command()
def show(run: Annotated[str, typer.Argument(help="The run's id.")], as_json: JsonOption = False) -> None:
    """One run."""
    found = RestClient.from_environment().get(f"/runs/{run}")
    if as_json:
        show_json(found)
        return
    out.print(Text(f"{found['name']}  {found['id']}  {found['state']}  step {found['step']}/{found['total_steps']}"))
    if failure := found.get("failure"):
        out.print(Text(f"{failure.get('code')}  {failure.get('message')}  {failure.get('remedy', '')}", style="red"))


@app.command()
def watch(run: Annotated[str, typer.Argument(help="The run's id.")], as_json: JsonOption = False) -> None:
    """Follow a run to its end, through restarts of the hub. Status 0: done, 3: failed, 4: stopped or declined."""
    state = watch_run(RestClient.from_environment(), run, as_json=as_json)
    raise typer.Exit(EXIT_CODES[state])


@app.command()
def stop(run: Annotated[str, typer.Argument(help="The run's id.")], as_json: JsonOption = False) -> None:
    """Stop a run; each worker confirms."""
    answer = RestClient.from_environment().post(f"/runs/{run}/stop", idempotency_key=f"stop-{run}")
    if as_json:
        show_json(answer)
    else:
        out.print(Text(f"{run}: {answer.get('state', 'stopping')}"))
