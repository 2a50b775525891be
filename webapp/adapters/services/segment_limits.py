"""How large a segment of a run can be: from the contract and the base model's measured layout, with room to spare."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from splitcore.config import RunConfig
from webapp.fleet.shared_models import shared_shape
from webapp.runs.estimate import models_of
from webapp.runs.models import Participant, ParticipantRole, Run

_MARGIN = 4  # a worker's library may place more than the one that measured did
_TENSORS = 20_000  # where the base model's shape is not known
_BASE_BYTES = 2 << 20


@dataclass(frozen=True)
class SegmentLimits:
    """The most tensors and bytes of one segment."""

    tensors: int
    bytes: int
    classes: int = 0  # labels of a classification head; 0: it has none


def segment_limits(run: Run, participant: Participant) -> SegmentLimits:
    """What the contract leaves room for; the hub's own limit for a file in any case."""
    config = RunConfig.parse(run.config)
    classes = config.data.task.classes
    own = config.for_party(participant.party) if participant.role == ParticipantRole.CLIENT else config
    shape = shared_shape(models_of(config, run.participants.values_list("worker_id", flat=True)))
    if shape is None:
        return SegmentLimits(_TENSORS, settings.ARTEFACT_MAX_BYTES, classes)
    rank = max([own.lora.rank, *(part.rank or 0 for part in config.parties.values())])
    adapted = [
        (linear, times)
        for kind, times in shape.counted(range(shape.layers))
        for linear in (*kind.linears, *kind.expert_adapters)
    ] + [(shape.output_head, 1)]
    tensors = 2 * sum(times for _, times in adapted) + bool(classes)
    weights = sum(linear.adapter_parameters(rank) * times for linear, times in adapted) + classes * shape.hidden
    most = min(_MARGIN * 4 * weights + _BASE_BYTES, settings.ARTEFACT_MAX_BYTES)
    return SegmentLimits(_MARGIN * tensors, most, classes)
