"""Joining the uploaded segments into standard PEFT folders: one for the run, or one a data party."""

from __future__ import annotations

import shutil
from pathlib import Path

from splitcore.adapters.join import join_segments
from splitcore.adapters.peft_config import Terms
from splitcore.adapters.segments import CONFIG, SEGMENT, WEIGHTS
from splitcore.config import RunConfig
from splitcore.errors import AppError
from webapp.adapters.models import Adapter, Segment
from webapp.adapters.services.archives import file_sha256, write_zip
from webapp.adapters.services.segments import media_path, read_metadata
from webapp.adapters.services.tokenizer import tokenizer_files, tokenizer_stands_alone
from webapp.runs.models import ParticipantRole, Run


def segment_groups(run: Run, config: RunConfig) -> dict[str, list[Segment]]:
    """Which segments make which adapter: party ("" for the run's one) → head, body, tail.

    Unless each client keeps ends of its own, all hold the same head and tail; the first party's are taken.
    """
    segments = list(run.segments.select_related("participant").order_by("participant__party", "name"))
    body = [s for s in segments if s.participant.role == ParticipantRole.SERVER]
    clients = [p.party for p in run.participants.all() if p.role == ParticipantRole.CLIENT]
    own_ends = config.schedule.exchange(len(clients)).own_ends
    chosen = sorted(clients) if own_ends else sorted(clients)[:1]
    groups: dict[str, list[Segment]] = {}
    for party in chosen:
        mine = [s for s in segments if s.participant.party == party]
        groups[party if own_ends else ""] = [*mine, *body]
    _check_complete(groups, config)
    return groups


def _check_complete(groups: dict[str, list[Segment]], config: RunConfig) -> None:
    wanted = {"head", "body"} | ({"tail"} if config.split.topology == "u_shape" else set())
    for party, segments in groups.items():
        own = config.for_party(party) if party else config
        need = set(wanted)
        if own.split.head_layers == 0:
            need.discard("head")
        if own.split.tail_layers == 0:
            need.discard("tail")
        missing = need - {s.name for s in segments}
        if missing:
            raise AppError(
                "CL-1701", f"The {', '.join(sorted(missing))} segment{' of ' + party if party else ''} is missing."
            )


def _join(config: RunConfig, segments: list[Segment], folder: Path) -> None:
    """Join in a work folder: a segment's folder is its tensors and the two texts that came in its metadata."""
    work = folder.with_name(f".{folder.name}.segments")
    shutil.rmtree(work, ignore_errors=True)
    try:
        parts = []
        for segment in segments:
            texts = read_metadata(media_path(segment.path))
            if not {"adapter_config", "segment"} <= texts.keys():
                raise AppError("CL-1702", f"The {segment.name} segment arrived without its configuration.")
            part = work / f"{segment.participant.party}-{segment.name}"
            part.mkdir(parents=True)
            (part / WEIGHTS).symlink_to(media_path(segment.path).resolve())
            (part / CONFIG).write_text(texts["adapter_config"], encoding="utf-8")
            (part / SEGMENT).write_text(texts["segment"], encoding="utf-8")
            parts.append(part)
        ranks = {config.lora.rank, *(part.rank for part in config.parties.values() if part.rank)}
        join_segments(
            parts,
            folder,
            expected_model=config.model.name_or_path,
            revision=config.model.revision,
            terms=Terms(config.lora.alpha, config.lora.dropout, frozenset(ranks), config.data.task.classes),
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)


def adapter_build(run: Run, config: RunConfig, adapter: Adapter, segments: list[Segment]) -> None:
    """Join outside any transaction (it may take long), then store; the check archive holds the PEFT folder alone."""
    folder = Path("adapters") / run.id / (adapter.party or "joint")
    _join(config, segments, media_path(str(folder)))
    files = {path.name: path for path in sorted(media_path(str(folder)).iterdir()) if path.is_file()}
    archive = folder.with_suffix(".check.zip")
    digest, size = write_zip(media_path(str(archive)), files)
    adapter.folder, adapter.archive, adapter.sha256, adapter.bytes = str(folder), str(archive), digest, size
    adapter.provenance = {
        "segments": [
            {"party": s.participant.party, "name": s.name, "sha256": s.sha256, "attempt": s.attempt} for s in segments
        ],
        "files": {name: file_sha256(path) for name, path in files.items()},
        "tokenizer": {name: file_sha256(path) for name, path in tokenizer_files(run.id).items()},
        "tokenizer_stands_alone": tokenizer_stands_alone(run.id),
    }
    adapter.save()
