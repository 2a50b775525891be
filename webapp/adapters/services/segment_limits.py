"""How large a segment of a run can be: from the contract and the base model's configuration, with room to spare."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from splitcore.config import RunConfig
from splitcore.errors import AppError
from splitcore.planning.shape import ModelShape
from webapp.runs.estimate import model_of
from webapp.runs.models import Participant, ParticipantRole, Run

_MARGIN = 4  # modules that the planner does not count, such as an expert that all share
_LINEARS = 64  # adapted modules of one layer; an expert has up to four of its own
_TENSORS = 20_000  # where the base model's shape is not known
_BASE_BYTES = 2 << 20


@dataclass(frozen=True)
class SegmentLimits:
    """The most tensors and bytes of one segment."""

    tensors: int
    bytes: int


def segment_limits(run: Run, participant: Participant) -> SegmentLimits:
    """What the contract leaves room for; the hub's own limit for a file in any case."""
    config = RunConfig.parse(run.config)
    own = config.for_party(participant.party) if participant.role == ParticipantRole.CLIENT else config
    shape = _shape(run, config)
    if shape is None:
        return SegmentLimits(_TENSORS, settings.ARTEFACT_MAX_BYTES)
    tensors = 2 * (shape.layers + 1) * (_LINEARS + 4 * shape.experts)
    rank = max([own.lora.rank, *(part.rank or 0 for part in config.parties.values())])
    weights = sum(linear.adapter_parameters(rank) for linear in shape.linears) * shape.layers
    output = rank * (shape.hidden + shape.vocabulary)
    limit = _MARGIN * 4 * (weights + output) + _BASE_BYTES
    return SegmentLimits(tensors, min(limit, settings.ARTEFACT_MAX_BYTES))


def _shape(run: Run, config: RunConfig) -> ModelShape | None:
    model = model_of(config, run.participants.values_list("worker_id", flat=True))
    try:
        return ModelShape.from_config(model.planned_config) if model else None
    except AppError:
        return None
