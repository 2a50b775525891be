"""`cutlayer worker model`: base models of this site."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from splitcore.errors import AppError
from workers.cli.console import out, show_json, show_table
from workers.hub import HubClient
from workers.models_registry import ModelRegistry
from workers.policy_review import MODEL_ID
from workers.settings import WorkerConfig, WorkerHome

app = typer.Typer(no_args_is_help=True, help="Base models of this site.")
HomeOption = Annotated[Path | None, typer.Option("--home", help="The worker's folder (CUTLAYER_WORKER_HOME).")]
COMMIT = re.compile(r"[0-9a-f]{40}")
# What is fetched of a repository: safetensors, never pickled weights, and no code.
WANTED = ["*.safetensors", "*.safetensors.index.json", "*.json", "tokenizer.model", "merges.txt", "*.jinja"]


@app.command()
def add(
    source: Annotated[str, typer.Argument(help="An id of a model repository, or a folder.")],
    name: Annotated[str, typer.Option("--as", help="The model's public id, for a folder.")] = "",
    revision: Annotated[str, typer.Option(help="Commit of the repository, or any mark for a folder.")] = "",
    home: HomeOption = None,
) -> None:
    """Fetch or register a base model: every tensor is hashed, and the hub learns id, manifest and configuration.

    Downloads use this site's own HF_TOKEN; only safetensors are taken, and no code of a repository ever runs.
    """
    folder = WorkerHome.find(home)
    WorkerConfig.load(folder)
    path = Path(source).expanduser()
    if path.is_dir():
        if not MODEL_ID.fullmatch(name):
            raise typer.BadParameter("A folder needs its public id: --as owner/name.")
        location, model_id = path, name
    else:
        if not MODEL_ID.fullmatch(source):
            raise AppError("CL-1103", f"{source} is neither a folder here nor the id of a model.")
        location, revision = fetch(source, revision)
        model_id = name or source
    registration = ModelRegistry(folder).add(location, model_id=model_id, revision=revision)
    client = HubClient.of(folder)
    try:
        client.post("/models", registration, patience=10.0)
    finally:
        client.close()
    size = f"{registration.parameters / 1e6:.1f} M parameters, {registration.bytes / 1e6:.1f} MB"
    out.print(Text(f"Registered {model_id}{f' @ {revision}' if revision else ''}: {size}"))
    out.print(Text(f"Manifest {registration.manifest_hash}"))


@app.command("list")
def list_models(home: HomeOption = None, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """The registered base models."""
    models = ModelRegistry(WorkerHome.find(home)).all()
    if as_json:
        show_json([model.model_dump(mode="json") for model in models])
        return
    show_table(
        ("Model", "Revision", "Manifest", "Size", "Folder"),
        [(m.model_id, m.revision, m.manifest_hash[:12], f"{m.bytes / 1e6:.0f} MB", m.folder) for m in models],
    )


def fetch(model_id: str, revision: str) -> tuple[Path, str]:
    """Download a model's snapshot; returns its folder and its commit. Raises AppError CL-1121."""
    from huggingface_hub import HfApi, snapshot_download

    token = os.environ.get("HF_TOKEN") or None
    try:
        commit = (
            revision
            if COMMIT.fullmatch(revision)
            else HfApi(token=token).model_info(model_id, revision=revision or None).sha
        )
        folder = snapshot_download(model_id, revision=commit, allow_patterns=WANTED, token=token)
    except Exception as error:  # network, permission and repository errors are of many unrelated classes
        raise AppError("CL-1121", f"{model_id} could not be downloaded ({type(error).__name__}).") from error
    return Path(folder), str(commit)
