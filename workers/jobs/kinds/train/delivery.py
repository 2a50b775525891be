"""What a half that is done leaves to the hub: its segments, and the base model's tokenizer."""

from __future__ import annotations

from pathlib import Path

from splitcore.errors import AppError
from workers.contracts import SegmentUpload
from workers.errors import error_info
from workers.jobs.folder import JobResult
from workers.jobs.kinds.kind import Ended
from workers.jobs.kinds.train.segments import pack_segment
from workers.jobs.kinds.train.tokenizer import tokenizer_uploads
from workers.ledger.budget import check_budget
from workers.outbox.spool import OutboxKind


def queue_files(ended: Ended, result: JobResult) -> JobResult:
    """Queue all of it. A segment that cannot be packed, or may not leave, fails the job."""
    try:
        for file, digest in _packed(ended):
            _queue(ended, "segment", file, digest)
    except (OSError, AppError) as error:
        return JobResult(outcome="failed", error=error_info(error))
    for file, digest in tokenizer_uploads(ended.home, ended.assignment, ended.folder.out):
        _queue(ended, "tokenizer", file, digest)
    return result


def _packed(ended: Ended) -> list[tuple[Path, str]]:
    """Each segment as one file with its SHA-256. Raises OSError, AppError."""
    out, packed = ended.folder.out, []
    for segment in sorted(path for path in (out / "segments").iterdir() if path.is_dir()):
        target = out / f"{segment.name}.safetensors"
        packed.append((target, pack_segment(segment, target)))
    check_budget(ended.home, ended.assignment.run_id, sum(target.stat().st_size for target, _ in packed))
    return packed


def _queue(ended: Ended, kind: OutboxKind, file: Path, digest: str) -> None:
    participant_id, attempt = ended.assignment.participant_id, ended.spec.attempt
    ended.spool.post(
        run_id=ended.assignment.run_id,
        participant_id=participant_id,
        kind=kind,
        attempt=attempt,
        body=SegmentUpload(participant_id=participant_id, attempt=attempt, sha256=digest),
        file=file,
    )
