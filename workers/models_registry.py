"""`models.json`: which base models this worker has, and in which of its folders each lies."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from splitcore.errors import AppError
from splitcore.models.files import read_json
from splitcore.models.manifest import Manifest, build_manifest, verify_files
from splitcore.planning.shape import ModelShape
from workers.contracts import SHAPE_SINCE, ModelRegistration
from workers.settings import WorkerHome, write_private

MAX_CONFIG_BYTES = 64 * 1024


class RegisteredModel(BaseModel):
    """A base model in a folder of this machine, as it was when it was registered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_id: str
    revision: str = ""
    manifest_hash: str
    folder: Path
    parameters: int
    bytes: int
    partial: bool = False  # only configuration and tokenizer lie here: a half fetches the tensors of its own layers

    @property
    def source(self) -> Path | str:
        """Where a half loads from: the folder, or the id of the repository."""
        return self.model_id if self.partial else self.folder


class Measured(BaseModel):
    """What measuring a model's layout gave: its shape, or why there is none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: str  # the version of Cutlayer that measured: another one measures again
    shape: ModelShape | None = None
    reason: str = ""


Measure = Callable[[Path], Measured]


class ModelRegistry:
    """The file, and the manifests and measured layouts beside it."""

    def __init__(self, home: WorkerHome) -> None:
        self._file, self._manifests = home.models_file, home.root / "manifests"

    def all(self) -> list[RegisteredModel]:
        """Every registered model."""
        try:
            return TypeAdapter(list[RegisteredModel]).validate_json(self._file.read_text())
        except (OSError, ValidationError):
            return []

    def find(self, manifest_hash: str | None) -> RegisteredModel | None:
        """The model with this manifest."""
        return next((model for model in self.all() if model.manifest_hash == manifest_hash), None)

    def get(self, manifest_hash: str | None) -> RegisteredModel:
        """The model with this manifest. Raises AppError CL-1120."""
        model = self.find(manifest_hash)
        if model is None:
            raise AppError("CL-1120")
        return model

    def folder_of(self, model_id: str) -> Path:
        """The folder of the model registered last under an id. Raises AppError CL-1120."""
        for model in reversed(self.all()):
            if model.model_id == model_id:
                return model.folder
        raise AppError("CL-1120", f"{model_id} isn't registered on this worker.")

    def manifest(self, manifest_hash: str) -> Manifest:
        """The pinned hashes of a registered model. Raises AppError CL-1104 where the stored file was changed."""
        try:
            manifest = Manifest.from_dict(json.loads((self._manifests / f"{manifest_hash}.json").read_text()))
        except (OSError, ValueError):
            raise AppError("CL-1104", "The stored manifest can't be read.") from None
        if manifest.hash() != manifest_hash:
            raise AppError("CL-1104", "The stored manifest differs from the registered one.")
        return manifest

    def add(
        self, folder: Path, *, model_id: str, revision: str = "", measure: Measure | None = None
    ) -> ModelRegistration:
        """Hash and measure a folder and remember it; returns what the hub is told. Raises AppError CL-1103."""
        folder = folder.expanduser().resolve()
        manifest = build_manifest(folder, model=model_id, revision=revision or None)
        return self._register(folder, manifest, measure)

    def add_partial(self, folder: Path, manifest: Manifest, *, measure: Measure | None = None) -> ModelRegistration:
        """Remember a model of which only configuration and tokenizer lie in `folder`; tensors are pinned by `manifest`.

        Raises AppError CL-1103, CL-1104 where a file differs from the manifest.
        """
        verify_files(folder, manifest)
        return self._register(folder, manifest, measure, partial=True)

    def shape(self, manifest_hash: str) -> ModelShape | None:
        """The measured layout of a registered model; None where it was not measured, or cannot be."""
        found = self.measured(manifest_hash)
        return found.shape if found is not None else None

    def measured(self, manifest_hash: str) -> Measured | None:
        """What was measured, with who measured it."""
        try:
            return Measured.model_validate_json(self._measured_file(manifest_hash).read_text())
        except (OSError, ValidationError):
            return None

    def keep_measured(self, manifest_hash: str, measured: Measured) -> None:
        """Remember what was measured."""
        self._manifests.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self._measured_file(manifest_hash), measured.model_dump_json())

    def registration(self, model: RegisteredModel) -> ModelRegistration:
        """What the hub is told of a model. Raises AppError CL-1103 where its folder cannot be read."""
        told = model.model_dump(exclude={"folder", "partial"})
        shape = self.shape(model.manifest_hash)
        return ModelRegistration(config=_model_config(model.folder), shape=shape, **told)

    def untold(self, hub_protocol: int | None) -> list[ModelRegistration]:
        """What the hub has not taken yet, be it only a layout that it reads.

        A model whose folder cannot be read is left out: it cannot be used either.
        """
        found = []
        for model in self.all():
            mark = self._mark(model.manifest_hash)
            told = mark.read_text() if mark.exists() else None
            if told is not None and (
                hub_protocol is None or told == _layout_told(self.shape(model.manifest_hash), hub_protocol)
            ):
                continue
            with contextlib.suppress(AppError):
                found.append(self.registration(model))
        return found

    def mark_told(self, registration: ModelRegistration, hub_protocol: int | None) -> None:
        """Remember that the hub has this model, and with which layout."""
        self._mark(registration.manifest_hash).write_text(_layout_told(registration.shape, hub_protocol))

    def _mark(self, manifest_hash: str) -> Path:
        return self._manifests / f"{manifest_hash}.told"

    def _measured_file(self, manifest_hash: str) -> Path:
        return self._manifests / f"{manifest_hash}.shape.json"

    def _register(
        self, folder: Path, manifest: Manifest, measure: Measure | None, *, partial: bool = False
    ) -> ModelRegistration:
        registration = ModelRegistration(
            model_id=manifest.model,
            revision=manifest.revision or "",
            manifest_hash=manifest.hash(),
            config=_model_config(folder),
            parameters=manifest.parameters,
            bytes=manifest.bytes,
        )
        self._manifests.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self._manifests / f"{registration.manifest_hash}.json", json.dumps(manifest.to_dict()))
        if measure is not None:  # before the model is listed: the agent measures what it finds unmeasured
            self.keep_measured(registration.manifest_hash, measure(folder))
        entry = RegisteredModel(folder=folder, partial=partial, **registration.model_dump(exclude={"config", "shape"}))
        kept = [model for model in self.all() if model.manifest_hash != entry.manifest_hash]
        write_private(self._file, TypeAdapter(list[RegisteredModel]).dump_json([*kept, entry], indent=2).decode())
        return registration


def _layout_told(shape: ModelShape | None, hub_protocol: int | None) -> str:
    """The layout that a hub of this protocol takes, by its hash; empty for none."""
    if shape is None or (hub_protocol or 0) < SHAPE_SINCE:
        return ""
    return hashlib.sha256(shape.model_dump_json().encode()).hexdigest()


def _model_config(folder: Path) -> dict[str, object]:
    config = read_json(folder / "config.json")
    if len(json.dumps(config)) > MAX_CONFIG_BYTES:
        raise AppError("CL-1103", "The base model's config.json is larger than 64 KiB.")
    return config
