"""The base model's tokenizer for the adapter's archive: the files that the contract's manifest pins. Torch-free."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from splitcore.config import canonical_json
from splitcore.errors import AppError
from splitcore.models.manifest import MANIFEST_FILE, TOKENIZER_FILES
from workers.contract_reading import read_contract
from workers.contracts import Assignment, Role
from workers.models_registry import ModelRegistry
from workers.settings import WorkerHome

log = logging.getLogger(__name__)


def tokenizer_uploads(home: WorkerHome, assignment: Assignment, out: Path) -> list[tuple[Path, str]]:
    """Files with their SHA-256, the manifest first; nothing where another party sends them or none are pinned.

    The adapter is whole without them, so what stands in the way is noted and fails nothing.
    """
    try:
        contract, config = read_contract(assignment)
        first = next((part.party for part in contract.participants if part.role is Role.CLIENT), None)
        if assignment.party != first or config.model.manifest is None:
            return []
        registry = ModelRegistry(home)
        folder = registry.get(config.model.manifest).folder
        manifest = registry.manifest(config.model.manifest)
        pinned = [(folder / name, manifest.files[name]) for name in TOKENIZER_FILES if name in manifest.files]
        text = canonical_json(manifest.to_dict()).encode()
        target = out / MANIFEST_FILE
        target.write_bytes(text)
    except (AppError, OSError) as error:
        log.warning("the tokenizer was not sent: %s", type(error).__name__)
        return []
    files = [entry for entry in pinned if entry[0].is_file()]
    return [(target, hashlib.sha256(text).hexdigest()), *files] if files else []
