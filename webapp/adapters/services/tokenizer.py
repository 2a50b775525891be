"""The base model's tokenizer for the archive: files are taken only as the contract's manifest pins them.

Under these names nothing else can come in: the manifest must have the approved hash, a file the hash of the manifest.
"""

from __future__ import annotations

import json
from pathlib import Path

from splitcore.config import canonical_json
from splitcore.errors import AppError
from splitcore.models.manifest import MANIFEST_FILE, TOKENIZER_FILES, Manifest
from webapp.adapters.services.segments import media_path
from webapp.runs.contract import contract_read
from webapp.runs.models import Run

_VOCABULARIES = {"tokenizer.json", "tokenizer.model", "vocab.json"}


def tokenizer_files(run_id: str) -> dict[str, Path]:
    """The tokenizer files of a run's base model that a worker has sent."""
    folder = tokenizer_folder(run_id)
    return {name: folder / name for name in TOKENIZER_FILES if (folder / name).is_file()}


def tokenizer_stands_alone(run_id: str) -> bool:
    """Whether the files load without the base model's config.json: they name their class and hold a vocabulary."""
    files = tokenizer_files(run_id)
    if "tokenizer_config.json" not in files or not files.keys() & _VOCABULARIES:
        return False
    try:
        return bool(json.loads(files["tokenizer_config.json"].read_bytes()).get("tokenizer_class"))
    except (ValueError, AttributeError, RecursionError):
        return False


def tokenizer_folder(run_id: str) -> Path:
    """Where the files of a run's base model lie."""
    return media_path("tokenizers") / run_id


def manifest_check(run: Run, path: Path) -> None:
    """The manifest's canonical text, byte for byte, under the hash that every organisation has approved."""
    document = contract_read(run.contract)
    wanted = document.config.get("model", {}).get("manifest") if document else None
    try:
        text = path.read_bytes()
        manifest = Manifest.from_dict(json.loads(text))
        is_right = canonical_json(manifest.to_dict()).encode() == text and manifest.hash() == wanted
    except (AppError, ValueError, RecursionError):
        is_right = False
    if not is_right:
        raise AppError("CL-1706", "The manifest's hash differs from the contract's.")


def pinned_files(folder: Path) -> dict[str, str]:
    """File names and hashes of the stored manifest; nothing before it came."""
    path = folder / MANIFEST_FILE
    return Manifest.from_dict(json.loads(path.read_bytes())).files if path.is_file() else {}
