"""How fast the chosen workers are: by their last finished run, else bounds from what they measured of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from splitcore.config import RunConfig
from splitcore.errors import AppError
from splitcore.planning import Link, ModelShape, SpeedBounds, Speeds, prior_speeds
from splitcore.planning.segments import segments_of
from splitcore.planning.timing import step_operations
from webapp.datasets.models import DatasetVersion
from webapp.fleet.models import Worker
from webapp.runs.models import Participant, ParticipantRole, Run, RunState
from webapp.runs.services import PartyChoice

_RUNS_LOOKED_AT = 20  # the newest ones
_LOOPBACK = ("127.", "localhost", "::1")
MEASURED = "Measured in the last finished run with this model on these workers."


@dataclass(frozen=True)
class KnownSpeeds:
    """Speeds or bounds of them, and where they come from in one sentence."""

    speeds: Speeds | SpeedBounds | None
    source: str

    @property
    def measured(self) -> bool:
        """Whether a finished run showed them."""
        return isinstance(self.speeds, Speeds)


def known_speeds(
    config: RunConfig, shape: ModelShape, choices: list[PartyChoice], workers: Mapping[str, Worker]
) -> KnownSpeeds:
    """The best that is known of the chosen workers; without speeds the source says what is missing."""
    measured = measured_speeds(config, shape, choices)
    if measured is not None:
        return KnownSpeeds(measured, MEASURED)
    chosen = [(choice.role, workers[choice.worker_id]) for choice in choices if choice.worker_id in workers]
    clients = [worker for role, worker in chosen if role == ParticipantRole.CLIENT]
    servers = [worker for role, worker in chosen if role == ParticipantRole.SERVER]
    if not clients or not servers:
        return KnownSpeeds(None, "Choose the training organisations and the compute organisation.")
    rates = {worker: own_rate(worker, config.model.dtype) for worker in (*clients, servers[0])}
    unknown = [worker.name for worker, rate in rates.items() if not rate]
    if unknown:
        return KnownSpeeds(None, f"{', '.join(unknown)} hasn't measured its speed yet. It does so at its next start.")
    same = str(servers[0].facts.get("tensor_host") or "").startswith(_LOOPBACK)
    bounds = prior_speeds(
        shape,
        client=min(rates[worker] for worker in clients),
        server=rates[servers[0]],
        clients=len(clients),
        same_machine=same,
        link=None if same else _known_link(clients, servers[0]),
    )
    return KnownSpeeds(bounds, f"An estimate, as no run with this model has finished on these workers. {bounds.basis}")


def own_rate(worker: Worker, dtype: str) -> float:
    """Operations a second that a worker measured of itself, in the format of the base weights; 0 where it did not."""
    speed: dict[str, Any] = worker.facts.get("speed") or {}
    plain = float(speed.get("float32") or 0.0)
    return plain if dtype == "float32" else float(speed.get("bfloat16") or 0.0) or plain


def row_lengths(versions: Iterable[DatasetVersion]) -> tuple[int, int] | None:
    """Median and 95th percentile of the rows' tokens over all datasets; None where a site did not share its own."""
    counts: dict[int, int] = {}
    for version in versions:
        histogram = version.metadata.get("token_lengths") or {}
        edges, numbers = histogram.get("edges") or [], histogram.get("counts") or []
        if len(edges) != len(numbers) + 1 or not sum(numbers):
            return None
        for edge, number in zip(edges[1:], numbers, strict=True):
            counts[edge] = counts.get(edge, 0) + number
    if not counts:
        return None
    edges = sorted(counts)
    sums = list(accumulate(counts[edge] for edge in edges))
    typical, long = (next(e for e, n in zip(edges, sums, strict=True) if n >= q * sums[-1]) for q in (0.5, 0.95))
    return max(1, typical), max(1, long)


def _known_link(clients: list[Worker], server: Worker) -> Link | None:
    """What a finished run, with any model, showed of the way between the first client and the server."""
    part = (
        Participant.objects.filter(
            worker=clients[0],
            role=ParticipantRole.CLIENT,
            run__state=RunState.DONE,
            run__participants__worker=server,
            metrics__has_key="send_s",
        )
        .order_by("-run__ended_at")
        .first()
    )
    return _link(part) if part is not None else None


def _link(client: Participant) -> Link | None:
    send, sent = float(client.metrics.get("send_s") or 0), float(client.metrics.get("bytes_up") or 0)
    if min(send, sent) <= 0:
        return None
    rate = max(sent / max(client.step, 1) / send, 1.0)
    return Link(rate, rate)


def measured_speeds(config: RunConfig, shape: ModelShape, choices: list[PartyChoice]) -> Speeds | None:
    """Speeds that the last finished run of exactly these workers with this model showed; None without one.

    All of them in that one run and in these parts: what one worker did with another model or another partner says
    nothing of this run.
    """
    clients = {choice.worker_id for choice in choices if choice.role == ParticipantRole.CLIENT}
    servers = {choice.worker_id for choice in choices if choice.role == ParticipantRole.SERVER}
    if not clients or len(servers) != 1:
        return None
    runs = Run.objects.filter(
        state=RunState.DONE, participants__worker_id__in=servers, participants__role=ParticipantRole.SERVER
    )
    for run in runs.order_by("-ended_at").distinct().prefetch_related("participants")[:_RUNS_LOOKED_AT]:
        parts = list(run.participants.all())
        trained = [part for part in parts if part.role == ParticipantRole.CLIENT]
        [server] = [part for part in parts if part.role == ParticipantRole.SERVER]
        if {part.worker_id for part in trained} == clients and (
            found := _shown_by(run, config, shape, trained, server)
        ):
            return found
    return None


def _shown_by(
    run: Run, config: RunConfig, shape: ModelShape, trained: list[Participant], server: Participant
) -> Speeds | None:
    """What a run showed, by its slowest client; None where it ran another model or was not measured."""
    if not all("compute_s" in part.metrics for part in (*trained, server)):
        return None
    try:
        old = RunConfig.parse(run.config)
    except AppError:
        return None
    if (old.model.name_or_path, old.model.dtype) != (config.model.name_or_path, config.model.dtype):
        return None
    slowest = max(trained, key=lambda part: float(part.metrics.get("compute_s") or 0))
    return _speeds(old, shape, slowest, server)


def _speeds(old: RunConfig, shape: ModelShape, client: Participant, server: Participant) -> Speeds | None:
    lane, step = client.metrics, max(client.step, 1)
    tokens = int(lane.get("seen_tokens") or 0) // step
    length = max(1, tokens // max(old.training.batch_size, 1))
    again = old.training.gradient_checkpointing
    ours, theirs = step_operations(shape, segments_of(old, shape), tokens, length, recompute=again)
    clients = client.run.participants.filter(role=ParticipantRole.CLIENT).count()
    compute, other = float(lane.get("compute_s") or 0), float(server.metrics.get("compute_s") or 0)
    link = _link(client)
    if link is None or min(compute, other, tokens) <= 0:
        return None
    return Speeds(ours / compute, clients * theirs / other, link)
