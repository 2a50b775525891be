"""What a worker uploads at the end of its part: its segments, and the base model's tokenizer.

The sender is checked before a byte is taken, and again when all have come: until then it may have been shut out.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.http import Http404

from splitcore.errors import AppError
from splitcore.models.manifest import MANIFEST_FILE, TOKENIZER_FILES
from webapp.adapters.models import Segment
from webapp.adapters.services.segment_limits import segment_limits
from webapp.adapters.services.segments import media_path, read_header, receive
from webapp.adapters.services.tokenizer import manifest_check, pinned_files, tokenizer_folder
from webapp.fleet.models import Worker
from webapp.runs.fencing import fence, sender_lock
from webapp.runs.life.apply import run_expect
from webapp.runs.life.events import Happening
from webapp.runs.models import Participant, ParticipantRole, Run
from webapp.runs.timeline import timeline_event
from workers.contracts import HubEvent, SegmentUpload

_SEGMENTS = {ParticipantRole.CLIENT: ("head", "tail"), ParticipantRole.SERVER: ("body",)}


def segment_store(*, worker: Worker, run_id: str, name: str, upload: SegmentUpload, stream: Iterable[bytes]) -> Segment:
    """Store a worker's trained segment. The same file again changes nothing; an older attempt's is refused."""
    with transaction.atomic():
        limits = segment_limits(*_segment_sender(worker, run_id, name, upload))
    folder = Path("segments") / run_id
    temporary, digest, size = receive(stream, media_path(str(folder)), limits.bytes)
    try:
        if digest != upload.sha256:
            raise AppError("CL-1702", "The file's SHA-256 doesn't match the announced one.")
        read_header(temporary, most_tensors=limits.tensors, classes=limits.classes)
        with transaction.atomic():
            run, participant = _segment_sender(worker, run_id, name, upload)
            relative = str(folder / f"{participant.id}-{name}.safetensors")
            temporary.replace(media_path(relative))
            segment, created = Segment.objects.update_or_create(
                participant=participant,
                name=name,
                defaults={"run": run, "attempt": upload.attempt, "path": relative, "sha256": digest, "bytes": size},
            )
            if created:
                timeline_event(run, HubEvent.SEGMENT_STORED, f"{name} of {participant.party}", participant=participant)
    finally:
        temporary.unlink(missing_ok=True)
    return segment


def segment_limit(*, worker: Worker, run_id: str, name: str, upload: SegmentUpload) -> int:
    """The most bytes of an upload that a worker announces. Raises what `segment_store` would, before anything came."""
    with transaction.atomic():
        return segment_limits(*_segment_sender(worker, run_id, name, upload)).bytes


def _segment_sender(worker: Worker, run_id: str, name: str, upload: SegmentUpload) -> tuple[Run, Participant]:
    run, participant = sender_lock(worker, run_id, upload.participant_id)
    fence(participant, upload.attempt)
    if name not in _SEGMENTS.get(ParticipantRole(participant.role), ()):
        raise AppError("CL-1702", f"'{name}' isn't a segment of the {participant.get_role_display().lower()}.")
    run_expect(run, Happening.FILE_BROUGHT)
    return run, participant


def tokenizer_store(*, worker: Worker, run_id: str, name: str, upload: SegmentUpload, stream: Iterable[bytes]) -> None:
    """Store the manifest or a file that it pins; the same again changes nothing. Raises AppError CL-1706, CL-1801."""
    with transaction.atomic():
        _tokenizer_sender(worker, run_id, name, upload)
    folder = tokenizer_folder(run_id)
    temporary, digest, _ = receive(stream, folder, settings.TOKENIZER_MAX_BYTES)
    try:
        if digest != upload.sha256:
            raise AppError("CL-1706", "The file's SHA-256 doesn't match the announced one.")
        with transaction.atomic():
            run = _tokenizer_sender(worker, run_id, name, upload)
            if name == MANIFEST_FILE:
                manifest_check(run, temporary)
            elif pinned_files(folder).get(name) != digest:
                raise AppError("CL-1706", f"{name} differs from the file pinned by the base model's manifest.")
            temporary.replace(folder / name)
    finally:
        temporary.unlink(missing_ok=True)


def tokenizer_limit(*, worker: Worker, run_id: str, name: str, upload: SegmentUpload) -> int:
    """The most bytes of a file that a worker announces. Raises what `tokenizer_store` would, before anything came."""
    with transaction.atomic():
        _tokenizer_sender(worker, run_id, name, upload)
    return int(settings.TOKENIZER_MAX_BYTES)


def _tokenizer_sender(worker: Worker, run_id: str, name: str, upload: SegmentUpload) -> Run:
    run, participant = sender_lock(worker, run_id, upload.participant_id)
    fence(participant, upload.attempt)
    if name != MANIFEST_FILE and name not in TOKENIZER_FILES:
        raise Http404("No such file.")
    if participant.role != ParticipantRole.CLIENT:
        raise AppError("CL-1706", "Only a data organisation that trains can send the tokenizer.")
    run_expect(run, Happening.FILE_BROUGHT)
    return run
