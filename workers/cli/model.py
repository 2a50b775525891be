"""`cutlayer worker model`: base models of this site."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from splitcore.config import canonical_json
from splitcore.errors import AppError
from splitcore.models.files import SMALL_FILES, read_json
from splitcore.models.manifest import Manifest
from splitcore.models.plan import segment_plans
from workers.cli.console import err, out, show_json, show_table
from workers.contracts import ModelRegistration
from workers.hub import HubClient, HubError
from workers.measuring import measure_here
from workers.model_register import register
from workers.models_registry import ModelRegistry
from workers.policy_review import MODEL_ID
from workers.settings import WorkerConfig, WorkerHome

app = typer.Typer(no_args_is_help=True, help="Base models of this site.")
HomeOption = Annotated[Path | None, typer.Option("--home", help="The worker's folder (CUTLAYER_WORKER_HOME).")]
COMMIT = re.compile(r"[0-9a-f]{40}")
# What is fetched of a repository: safetensors, never pickled weights, and no code.
WANTED = ["*.safetensors", *SMALL_FILES]


@app.command()
def add(
    source: Annotated[str, typer.Argument(help="The id of a model repository, or a folder.")],
    name: Annotated[str, typer.Option("--as", help="The model's public id, for a folder.")] = "",
    revision: Annotated[str, typer.Option(help="Commit of the repository, or any label for a folder.")] = "",
    manifest: Annotated[
        Path | None,
        typer.Option(help="Another site's manifest. Fetches only this worker's own layers, once a run needs them."),
    ] = None,
    head_layers: Annotated[int, typer.Option(help="With --manifest: fetch for this cut (u_shape) right away.")] = -1,
    tail_layers: Annotated[int, typer.Option(help="With --manifest: fetch for this cut (u_shape) right away.")] = -1,
    home: HomeOption = None,
) -> None:
    """Fetch or register a base model: every tensor is hashed, the layout is measured.

    The hub learns id, manifest, configuration and layout. Downloads use this site's own HF_TOKEN; only safetensors are
    taken, and no code of a repository ever runs.
    """
    folder = WorkerHome.find(home)
    registry = ModelRegistry(folder)
    kind = WorkerConfig.load(folder).enrolment.kind
    if manifest is not None:
        if name or revision:
            raise typer.BadParameter("--manifest contains the model's id and revision. Leave out --as and --revision.")
        partial = PartialModel.of(source, manifest)
        registration = registry.add_partial(partial.folder, partial.manifest, measure=measure_here)
        if head_layers >= 0 and tail_layers >= 0:
            partial.fetch(kind, head_layers, tail_layers)
        _tell(folder, registration)
        return
    path = Path(source).expanduser()
    if path.is_dir():
        if not MODEL_ID.fullmatch(name):
            wrong = f"'{name}' isn't a public id." if name else "A folder needs its public id."
            example = f"cutlayer worker model add {shlex.quote(source)} --as owner/{_plain_name(path)}"
            raise AppError("CL-1122", wrong, f"All sites of a run must use the same one. Run: {example}")
        location, model_id = path, name
    else:
        if not MODEL_ID.fullmatch(source):
            raise AppError(
                "CL-1121",
                f"{source} isn't a folder here, or the id of a model (owner/name).",
                f"Check the folder's path ({path.absolute()} doesn't exist), or use the id as in its repository.",
            )
        location, revision = fetch(source, revision)
        model_id = name or source
    _tell(folder, registry.add(location, model_id=model_id, revision=revision, measure=measure_here))


def _tell(home: WorkerHome, added: ModelRegistration) -> None:
    """Tell the hub and the person. What the hub does not take now, the worker tells it later."""
    registry = ModelRegistry(home)
    registration = registry.registration(registry.get(added.manifest_hash))
    client, later = HubClient.of(home), None
    try:
        register(registry, registration, client, patience=2.0)
    except HubError as error:
        if not error.transient:
            raise
        later = error
    finally:
        client.close()
    size = f"{registration.parameters / 1e6:.1f} M parameters, {registration.bytes / 1e6:.1f} MB"
    at = f" @ {registration.revision}" if registration.revision else ""
    out.print(Text(f"Registered {registration.model_id}{at}: {size}"))
    out.print(Text(f"Manifest {registration.manifest_hash}"))
    measured = registry.measured(added.manifest_hash)
    if measured is not None and measured.shape is None:
        err.print(Text(f"Its layout could not be measured, so runs with it are not estimated. {measured.reason}"))
    if later is not None:
        err.print(Text(f"The hub doesn't have it yet. {later.code}: {later.message}. {later.remedy}".strip()))
        err.print(Text("The worker registers it with the hub automatically once it is running and the hub accepts it."))


@app.command("manifest")
def write_manifest(
    model: Annotated[str, typer.Argument(help="The model's public id or manifest hash.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    home: HomeOption = None,
) -> None:
    """Write a registered model's manifest, for sites that fetch only their own layers of it."""
    registry = ModelRegistry(WorkerHome.find(home))
    known = next((m for m in reversed(registry.all()) if model in (m.model_id, m.manifest_hash)), None)
    if known is None:
        raise AppError("CL-1120", f"{model} isn't registered on this worker.")
    output.write_text(canonical_json(registry.manifest(known.manifest_hash).to_dict()), encoding="utf-8")
    out.print(Text(f"{output}  {known.manifest_hash}"))


@app.command("list")
def list_models(home: HomeOption = None, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """The registered base models."""
    models = ModelRegistry(WorkerHome.find(home)).all()
    if as_json:
        show_json([model.model_dump(mode="json") for model in models])
        return
    if not models:
        out.print("No base models are registered yet. Register one: cutlayer worker model add ID-OR-FOLDER")
        return
    show_table(
        ("Model", "Revision", "Manifest", "Size", "Folder"),
        [(m.model_id, m.revision, m.manifest_hash[:12], f"{m.bytes / 1e6:.0f} MB", m.folder) for m in models],
    )


@dataclass(frozen=True)
class PartialModel:
    """A model of a repository whose tensors are pinned by another site's manifest."""

    folder: Path  # configuration and tokenizer
    manifest: Manifest

    @classmethod
    def of(cls, model_id: str, file: Path) -> PartialModel:
        """Read the manifest and fetch the small files. Raises AppError CL-1103, CL-1104, CL-1121."""
        manifest = Manifest.from_dict(read_json(file))
        if manifest.model != model_id or not COMMIT.fullmatch(manifest.revision or ""):
            raise AppError("CL-1104", f"The manifest pins no commit of the repository {model_id}.")
        return cls(fetch(model_id, manifest.revision or "", SMALL_FILES)[0], manifest)

    def fetch(self, kind: str, head_layers: int, tail_layers: int) -> None:
        """Fetch what a worker of this kind holds with this cut. Raises AppError CL-1002, CL-1121."""
        from splitcore.models.carve import layer_count  # loads torch
        from splitcore.models.loading import locate, read_config

        plans = segment_plans("u_shape", head_layers, tail_layers, layer_count(read_config(self.folder)))
        parts = {
            "data": [plan for role, plan in plans.items() if role != "body"],
            "compute": [plans["body"]],
        }
        for own in [part for side, part in parts.items() if kind in (side, "both")]:
            locate(self.manifest.model, revision=self.manifest.revision, plans=own, manifest=self.manifest)


def _plain_name(folder: Path) -> str:
    """A folder's name as a part of a public id."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-.") or "name"


def fetch(model_id: str, revision: str, wanted: list[str] = WANTED) -> tuple[Path, str]:
    """Download a model's files that match `wanted`; returns folder and commit. Raises AppError CL-1121."""
    from huggingface_hub import HfApi, snapshot_download

    token = os.environ.get("HF_TOKEN") or None
    try:
        commit = (
            revision
            if COMMIT.fullmatch(revision)
            else HfApi(token=token).model_info(model_id, revision=revision or None).sha
        )
        folder = snapshot_download(model_id, revision=commit, allow_patterns=wanted, token=token)
    except Exception as error:  # network, permission and repository errors are of many unrelated classes
        raise _not_downloaded(model_id, error) from error
    return Path(folder), str(commit)


def _not_downloaded(model_id: str, error: Exception) -> AppError:
    """What is wrong with a download, as far as the error's class tells. A repository's own text is not repeated."""
    kind = type(error).__name__
    if kind in ("RepositoryNotFoundError", "HFValidationError"):
        return AppError(
            "CL-1121",
            f"There is no model repository {model_id}, or it isn't public.",
            "Check the spelling, including capitals. For a private repository, set HF_TOKEN at this site.",
        )
    if kind == "GatedRepoError":
        return AppError(
            "CL-1121",
            f"{model_id} requires you to accept its licence.",
            "Accept the licence on the model's page, set HF_TOKEN to that account's token, and try again.",
        )
    if kind == "RevisionNotFoundError":
        return AppError(
            "CL-1121", f"{model_id} has no such revision.", "Leave out --revision, or use a full commit hash."
        )
    if "Connect" in kind or "Timeout" in kind or kind in ("LocalEntryNotFoundError", "OfflineModeIsEnabled"):
        return AppError(
            "CL-1121",
            f"{model_id} couldn't be downloaded: the model repository can't be reached ({kind}).",
            "Check the network and HTTPS_PROXY of this machine, or copy the model here and register its folder: "
            f"cutlayer worker model add FOLDER --as {model_id}",
        )
    return AppError("CL-1121", f"{model_id} couldn't be downloaded ({kind}).")
