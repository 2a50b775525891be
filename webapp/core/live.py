"""Doorbells on the channel layer: sent on commit, and never a reason for a write to fail."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)
LOOK_SECONDS = 5.0  # how often a browser's socket looks at session, membership and rows, whether or not a bell rings


def run_group(run_id: str) -> str:
    """Browsers that look at a run."""
    return f"run.{run_id}"


def worker_group(worker_id: str) -> str:
    """The control socket of a worker."""
    return f"worker.{worker_id}"


def organisation_group(organisation_id: str) -> str:
    """Browsers of an organisation's members."""
    return f"org.{organisation_id}"


def _send(group: str, event: dict[str, Any]) -> None:
    layer = get_channel_layer()
    if layer is None:
        return
    try:
        async_to_sync(layer.group_send)(group, event)
    except (OSError, ConnectionError, TimeoutError) as error:
        logger.warning("doorbell lost: %s (%s)", event["type"], type(error).__name__)
    except Exception as error:
        # Redis' own errors have no common base with OSError; the row is the truth, the doorbell may be lost.
        logger.warning("doorbell failed: %s (%s)", event["type"], type(error).__name__)


def _on_commit(group: str, event: dict[str, Any]) -> None:
    transaction.on_commit(lambda: _send(group, event))


def notify_run(run_id: str, seq: int) -> None:
    """Tell browsers that the run has records up to `seq`, or another state."""
    _on_commit(run_group(run_id), {"type": "run.changed", "seq": seq})


def wake_worker(worker_id: str, reason: str) -> None:
    """Ring a worker's bell: it will ask for its assignments."""
    _on_commit(worker_group(worker_id), {"type": "worker.wake", "reason": reason})


def close_worker(worker_id: str, *, spared: str = "") -> None:
    """Close a worker's sockets (revoked, quarantined, a new key), but those that the key `spared` opened."""
    _on_commit(worker_group(worker_id), {"type": "worker.close", "code": 4403, "spared": spared})


def notify_org(organisation_id: str, what: str, object_id: str) -> None:
    """Tell an organisation's browsers that one of its objects changed."""
    _on_commit(organisation_group(organisation_id), {"type": "org.changed", "what": what, "id": object_id})


class Listener(Protocol):
    """A socket's consumer, as far as groups need it."""

    channel_layer: Any
    channel_name: str


async def group_enter(consumer: Listener, group: str) -> bool:
    """Let a socket hear a group's doorbells; False where the message store is away."""
    try:
        await consumer.channel_layer.group_add(group, consumer.channel_name)
    except (RedisError, OSError) as error:
        logger.warning("no doorbells of %s: the message store is away (%s)", group, type(error).__name__)
        return False
    return True


async def group_leave(consumer: Listener, group: str) -> None:
    """The opposite, which never keeps a socket from closing."""
    try:
        await consumer.channel_layer.group_discard(group, consumer.channel_name)
    except (RedisError, OSError) as error:
        logger.warning("%s was not left (%s)", group, type(error).__name__)
