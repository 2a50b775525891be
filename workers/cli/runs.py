"""`cutlayer runs`: list, show, launch, watch and stop runs over the hub's REST API."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from splitcore.config import RunConfig, config_text
from workers.cli.choosing import dataset_party, project_id, worker_id
from workers.cli.console import out, show_json, show_table
from workers.cli.watching import EXIT_CODES, watch_run
from workers.rest import RestClient

app = typer.Typer(no_args_is_help=True, help="Runs, over the hub's REST API (CUTLAYER_HUB, CUTLAYER_TOKEN).")
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_runs(
    project: Annotated[str, typer.Option(help="Only runs of this project: id or name.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Your runs, newest first."""
    client = RestClient.from_environment()
    answer = client.get("/runs", project=project_id(client, project) if project else "")
    runs = answer["items"] if isinstance(answer, dict) else answer
    if as_json:
        show_json(runs)
        return
    show_table(
        ("Run", "Name", "State", "Step"),
        [(run["id"], run["name"], run["state"], f"{run['step']}/{run['total_steps']}") for run in runs],
    )


@app.command()
def parties(project: Annotated[str, typer.Option(help="The project's id.")], as_json: JsonOption = False) -> None:
    """Who can take part in a run of a project: datasets, compute workers and base models, with their ids."""
    found = RestClient.from_environment().get("/runs/parties", project=project)
    if as_json:
        show_json(found)
        return
    show_table(
        ("Dataset", "Version", "Rows", "Organisation", "Worker", "Online"),
        [
            (
                f"{row['dataset']}:{row['version']}",
                row["dataset_version"],
                f"{row['train_rows']} + {row['heldout_rows']}",
                row["organisation_name"],
                row["worker"],
                "yes" if row["online"] else "no",
            )
            for row in found["data"]
        ],
    )
    show_table(
        ("Compute worker", "Id", "Organisation", "Hardware", "Online"),
        [
            (
                row["worker_name"],
                row["worker"],
                row["organisation_name"],
                row["hardware"],
                "yes" if row["online"] else "no",
            )
            for row in found["compute"]
        ],
    )
    show_table(
        ("Base model", "Manifest", "Workers"),
        [
            (row["model"], f"{row['manifest'][:12]}…" if row["manifest"] else "differs", " ".join(row["workers"]))
            for row in found["models"]
        ],
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
def launch(
    config: Annotated[Path, typer.Argument(help="The configuration, as YAML.", exists=True, dir_okay=False)],
    project: Annotated[str, typer.Option(help="The project's id.")],
    data: Annotated[list[str], typer.Option(help="A dataset to train on: NAME or NAME:VERSION. Can be repeated.")],
    server: Annotated[str, typer.Option(help="The compute worker: id or name.")],
    name: Annotated[str, typer.Option(help="The run's name. Default: the file's name.")] = "",
    evaluate: Annotated[list[str] | None, typer.Option(help="A dataset used only to measure the adapter.")] = None,
    prompt: Annotated[list[str] | None, typer.Option(help="A public prompt for samples. Can be repeated.")] = None,
    draft: Annotated[bool, typer.Option("--draft", help="Save only, without requesting approval.")] = False,
    key: Annotated[str, typer.Option(help="Idempotency key. The same key launches only one run.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Configure a run and ask every organisation to approve it; it starts when all have."""
    text = config_text(config)
    RunConfig.from_yaml(text)  # a mistake is told here, before anything is sent
    client = RestClient.from_environment()
    known = client.get("/datasets", project=project)
    parties = [{"role": "client", **dataset_party(known, wanted)} for wanted in data]
    parties += [{"role": "evaluator", **dataset_party(known, wanted)} for wanted in evaluate or []]
    parties.append({"role": "server", "worker": worker_id(client, server)})
    body = {
        "project": project,
        "name": name or config.stem,
        "config_yaml": text,
        "parties": parties,
        "public_prompts": prompt or [],
        "submit": not draft,
    }
    run = client.post("/runs", body, idempotency_key=key or secrets.token_hex(16))
    if as_json:
        show_json(run)
        return
    out.print(Text(f"{run['name']}  {run['id']}  {run['state'].replace('_', ' ')}"))
    out.print(Text(f"Follow it: cutlayer runs watch {run['id']}"))


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
