"""What follows from a configuration before anything runs: steps, message sizes, and the model's shape."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import Any

from splitcore.config import RunConfig
from splitcore.config.length import total_steps
from splitcore.errors import AppError
from splitcore.planning import ModelShape
from webapp.fleet.models import WorkerModel
from webapp.fleet.shared_models import shared_shape
from webapp.runs.models import Participant, ParticipantRole
from workers.contracts import MESSAGE_BYTES_MAX

_MARGIN = 1.25
_BASE_BYTES = 1 << 20


def config_number(config: dict[str, Any], *names: str) -> int:
    """The first of several keys that a model's config.json has, also below `text_config`; 0 where none is there."""
    for source in (config, config.get("text_config") or {}):
        for name in names:
            value = source.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
    return 0


def layer_count(config: dict[str, Any]) -> int:
    """Decoder layers of a model, from its config.json; 0 where it does not say."""
    return config_number(config, "num_hidden_layers", "n_layer", "num_layers", "n_layers")


def model_layers(shape: ModelShape | None, config: dict[str, Any]) -> int:
    """Decoder layers as measured, else as config.json names them; 0 where neither tells."""
    return shape.layers if shape is not None else layer_count(config)


def hidden_size(config: dict[str, Any]) -> int:
    """Width of the hidden states, from a model's config.json."""
    return config_number(config, "hidden_size", "n_embd", "d_model", "dim")


def models_of(config: RunConfig, worker_ids: Iterable[str]) -> list[WorkerModel]:
    """The registrations of the run's base model on its workers, the oldest first."""
    models = WorkerModel.objects.filter(worker_id__in=list(worker_ids), model_id=config.model.name_or_path)
    if config.model.manifest:
        models = models.filter(manifest_hash=config.model.manifest)
    return list(models.order_by("created_at"))


def train_rows(participants: Iterable[Participant]) -> int:
    """Training rows of the largest dataset in a run."""
    rows = [
        int(p.dataset_version.metadata.get("train_rows", 0))
        for p in participants
        if p.role == ParticipantRole.CLIENT and p.dataset_version is not None
    ]
    return max(rows, default=0)


def step_count(config: RunConfig, participants: Iterable[Participant]) -> int:
    """Optimiser steps: as configured, or from the epochs over the largest dataset."""
    clients = [p for p in participants if p.role == ParticipantRole.CLIENT]
    rows = [train_rows([client]) for client in clients] or [0]
    return total_steps(config, rows, [config.for_party(client.party).training.batch_size for client in clients] or [1])


def message_limit(config: RunConfig, participants: list[Participant]) -> int:
    """Bytes of the largest tensor message that the contract allows, with a margin.

    The larger of one micro-batch of hidden states in fp32 and the adapters of head and tail in fp32.
    """
    models = models_of(config, [p.worker_id for p in participants])
    clients = sum(p.role == ParticipantRole.CLIENT for p in participants)
    return largest_message(config, shared_shape(models), models[0].planned_config if models else {}, clients)


def _adapter_bytes(config: RunConfig, shape: ModelShape) -> int:
    """The adapters of a client's head and tail in fp32."""
    tail = max(0, shape.layers - config.split.tail_layers)
    targets, rank = config.lora.target_modules, config.lora.rank
    adapted = [
        *shape.adapted(targets, range(config.split.head_layers)),
        *shape.adapted(targets, range(tail, shape.layers)),
        *[(shape.output_head, 1)] * shape.output_head.is_target(targets),
    ]
    head = config.data.task.classes * shape.hidden  # of a classifier, trained as a whole
    return 4 * (sum(linear.adapter_parameters(rank) * times for linear, times in adapted) + head)


def _assumed_adapter_bytes(config: RunConfig, told: dict[str, Any]) -> int:
    """The same where nobody has measured the model: four square maps and three of a feed-forward part are assumed."""
    width = hidden_size(told) or 1024
    inner = config_number(told, "intermediate_size", "n_inner", "ffn_dim") or 4 * width
    layers = config.split.head_layers + config.split.tail_layers
    return layers * config.lora.rank * 4 * (8 * width + 3 * (width + inner))


def largest_message(config: RunConfig, shape: ModelShape | None, told: dict[str, Any], clients: int) -> int:
    """The same for a model of this shape (or config.json, unmeasured) and so many clients. Raises AppError CL-1001."""
    width = shape.hidden if shape else hidden_size(told) or 1024
    parties = [config, *(config.for_party(name) for name in config.parties)]
    hidden = max(ceil(p.training.batch_size / p.training.micro_batches) for p in parties) * (
        config.training.max_length * (width * 4 + 16)
    )
    adapters = max(_adapter_bytes(p, shape) if shape else _assumed_adapter_bytes(p, told) for p in parties)
    if config.privacy.masks_sums and config.schedule.exchange(clients).sums_ends:
        adapters *= 2  # whole numbers of eight bytes
    if config.schedule.exchange(clients).relays and config.training.optimiser == "adamw":
        adapters *= 3  # with the optimiser's two moments of each weight
    limit = ceil(max(hidden, adapters) * _MARGIN) + _BASE_BYTES
    if limit > MESSAGE_BYTES_MAX:
        raise AppError(
            "CL-1001",
            "training.batch_size: a message in this run would be larger than a contract allows.",
            details={"fields": [{"field": "training.batch_size", "message": "Lower it, or raise micro_batches."}]},
        )
    return limit
