"""The base model's tokenizer for the archive: files are taken only as the contract's manifest pins them.

Under these names nothing else can come in: the manifest must have the approved hash, a file the hash of the manifest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.http import Http404

from splitcore.config import canonical_json
from splitcore.errors import AppError
from splitcore.models.manifest import MANIFEST_FILE, TOKENIZER_FILES, Manifest
from webapp.adapters.services.segments import media_path, receive
from webapp.fleet.models import Worker
from webapp.runs.contract import contract_read
from webapp.runs.lifecycle.access import fence, sender_lock
from webapp.runs.models import ParticipantRole, Run, RunState
from webapp.runs.states import TRAINS
from workers.contracts import SegmentUpload

_VOCABULARIES = {"tokenizer.json", "tokenizer.model", "vocab.json"}
_TAKEN_IN = TRAINS | {RunState.FINISHING}


def tokenizer_files(run_id: str) -> dict[str, Path]:
    """The tokenizer files of a run's base model that a worker has sent."""
    folder = _folder(run_id)
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


def tokenizer_store(*, worker: Worker, run_id: str, name: str, upload: SegmentUpload, stream: Iterable[bytes]) -> None:
    """Store the manifest or a file that it pins; the same again changes nothing. Raises AppError CL-1706, CL-1801."""
    with transaction.atomic():
        _check_sender(worker, run_id, name, upload)
    folder = _folder(run_id)
    temporary, digest, _ = receive(stream, folder, settings.TOKENIZER_MAX_BYTES)
    try:
        if digest != upload.sha256:
            raise AppError("CL-1706", "The file's SHA-256 is not the announced one.")
        with transaction.atomic():
            run = _check_sender(worker, run_id, name, upload)
            if name == MANIFEST_FILE:
                _check_manifest(run, temporary)
            elif _pinned(folder).get(name) != digest:
                raise AppError("CL-1706", f"{name} is not the file that the base model's manifest pins.")
            temporary.replace(folder / name)
    finally:
        temporary.unlink(missing_ok=True)


def _folder(run_id: str) -> Path:
    return media_path("tokenizers") / run_id


def tokenizer_limit(*, worker: Worker, run_id: str, name: str, upload: SegmentUpload) -> int:
    """The most bytes of a file that a worker announces. Raises what `tokenizer_store` would, before anything came."""
    with transaction.atomic():
        _check_sender(worker, run_id, name, upload)
    return int(settings.TOKENIZER_MAX_BYTES)


def _check_sender(worker: Worker, run_id: str, name: str, upload: SegmentUpload) -> Run:
    run, participant = sender_lock(worker, run_id, upload.participant_id)
    fence(participant, upload.attempt)
    if name != MANIFEST_FILE and name not in TOKENIZER_FILES:
        raise Http404("No such file.")
    if participant.role != ParticipantRole.CLIENT:
        raise AppError("CL-1706", "The tokenizer comes from a data organisation's training part.")
    if run.state not in _TAKEN_IN:
        raise AppError("CL-1504")
    return run


def _check_manifest(run: Run, path: Path) -> None:
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
        raise AppError("CL-1706", "The manifest is not the one whose hash is in the contract.")


def _pinned(folder: Path) -> dict[str, str]:
    """File names and hashes of the stored manifest; nothing before it came."""
    path = folder / MANIFEST_FILE
    return Manifest.from_dict(json.loads(path.read_bytes())).files if path.is_file() else {}
