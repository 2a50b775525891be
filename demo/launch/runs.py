"""Launch a run, let every organisation approve it, and follow it to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from demo.launch.groups import MODEL_ID, DemoError, Groups
from demo.launch.stage import DATA_PARTIES, Stage
from demo.recipe import PUBLIC_PROMPTS, RECIPE

FOLLOW_SECONDS = 1.0  # between two looks; at every half second they were half of what the hub did in a run
ENDED = {"done", "failed", "stopped", "declined"}
Progress = Callable[[dict[str, Any]], None]


def launch(
    stage: Stage, *, name: str, trains: tuple[str, ...], training: dict[str, Any] | None = None, evaluate: bool = True
) -> str:
    """Create and submit a run in which `trains` train and the other data organisation only evaluates.

    `training` replaces fields of the recipe; without `evaluate` the other organisation takes no part.
    """
    owner = stage.parties[trains[0]]
    parties = [{"role": "server", "worker": stage.workers["compute"], "receives_adapter": False}]
    for key in DATA_PARTIES:
        if key not in trains and not evaluate:
            continue
        role = "client" if key in trains else "evaluator"
        parties.append({"role": role, "worker": stage.workers[key], "dataset_version": stage.datasets[key]})
    models = owner.rest.get(f"/workers/{stage.workers[trains[0]]}")["models"]
    manifest = next(model["manifest_hash"] for model in models if model["model_id"] == MODEL_ID)
    config = {**RECIPE, "model": {"name_or_path": MODEL_ID, "manifest": manifest}}
    config["training"] = {**RECIPE["training"], **(training or {})}
    run = owner.rest.post(
        "/runs",
        {
            "project": stage.project,
            "organisation": owner.organisation,
            "name": name,
            "config": config,
            "parties": parties,
            "public_prompts": list(PUBLIC_PROMPTS),
            "start_when_approved": True,
            "submit": True,
        },
    )
    return str(run["id"])


def approve_by_all(stage: Stage, run_id: str) -> None:
    """Each organisation reads the contract's hash and approves it; the last approval starts the run."""
    asked = {
        participant["organisation"]
        for participant in stage.parties["compute"].rest.get(f"/runs/{run_id}")["participants"]
    }
    for party in stage.parties.values():
        if party.organisation not in asked:
            continue
        run = party.rest.get(f"/runs/{run_id}")
        party.rest.post(f"/runs/{run_id}/approve", {"contract_hash": run["contract_hash"]})


def follow(groups: Groups, stage: Stage, run_id: str, *, seconds: float, progress: Progress) -> dict[str, Any]:
    """Watch until the run has ended; returns it as the API tells it. Raises DemoError if it did not end well."""
    run: dict[str, Any] = {}
    for run in stage.parties["clinic"].rest.poll(f"/runs/{run_id}", seconds=seconds, pause=FOLLOW_SECONDS):
        groups.check_alive()
        progress(run)
        if run["state"] in ENDED:
            break
    if run["state"] != "done":
        raise DemoError(f"The run '{run['name']}' is {run['state']}: {run.get('failure')}")
    return run
