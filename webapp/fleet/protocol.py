"""Which version of the worker protocol a request and its answer are in: the older of what both ends know."""

from __future__ import annotations

from django.conf import settings

from splitcore.errors import AppError
from workers.contracts import OLDEST_PROTOCOL, PROTOCOL_VERSION
from workers.versions import told_version, too_old_hub, too_old_worker

OLDEST, NEWEST = OLDEST_PROTOCOL, PROTOCOL_VERSION
UNTOLD = 2  # what tells no version was made when there was this one


def shared_version(header: str | None) -> int:
    """The version to write to a worker that tells this header; see `UNTOLD`."""
    return min(told_version(header) or UNTOLD, NEWEST)


def reader_check(header: str | None) -> None:
    """Refuse (CL-1407) a worker that knows no version of ours."""
    _check(newest=told_version(header) or UNTOLD)


def spoken_check(version: int) -> None:
    """Refuse (CL-1407) a message written in a version that this hub does not know, or not any more."""
    _check(newest=version)
    if version > NEWEST:
        raise too_old_hub(version, hub_oldest=OLDEST, hub_newest=NEWEST)


def form_check(refusal: AppError, *, told: int | None) -> None:
    """Turn the refusal of a body into CL-1407 where it comes of a newer worker, which then writes an older form."""
    if told is not None and told > NEWEST:
        raise too_old_hub(told, hub_oldest=OLDEST, hub_newest=NEWEST) from refusal


def _check(*, newest: int) -> None:
    if newest < OLDEST:
        raise too_old_worker(
            newest,
            hub_oldest=OLDEST,
            hub_newest=NEWEST,
            release=settings.CUTLAYER_VERSION,
        )
