"""Counting failed guesses, per minute and per hour, so that secrets cannot be tried out.

Who presents the right secret is never refused for the wrong ones of others: callers look a token up first and count
only what fails. Passwords are counted before they are compared, so that a guess that happens to be right gains nothing.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Iterator

from django.core.cache import cache
from django.http import HttpRequest
from redis.exceptions import RedisError

from splitcore.errors import AppError

logger = logging.getLogger(__name__)
WINDOW_SECONDS = 60
_LONGER_WINDOWS = {"second-factor-hour": 3600}  # six digits are few: a minute's guesses add up over a day
_GUESSABLE = ("password", "second-factor")  # their buckets refuse everybody while nothing can be counted
# What a person reads, by bucket: message and remedy of CL-1603.
_WORDS = {
    "api-token": (
        "Your address sent several wrong API tokens.",
        "Check your program's token and wait a minute. Valid tokens keep working.",
    ),
    "invitation": (
        "Your address opened several wrong invitation links.",
        "Copy the whole link from the e-mail, and wait a minute before you try again.",
    ),
    "enrolment-token": (
        "This address sent several wrong enrolment tokens.",
        "Copy the whole command from the hub, and wait a minute before you run it.",
    ),
    "password": (
        "Several wrong passwords were entered in a row.",
        "Wait a minute, then try again. If you've forgotten your password, reset it on the sign-in page.",
    ),
    "password-address": (
        "Many sign-ins from your address failed.",
        "Wait a minute, then try again, or use a browser where you've signed in before.",
    ),
    "password-account": (
        "Many wrong passwords were tried for this account, from several addresses.",
        "Use a browser where you've signed in before, or wait a minute and try again.",
    ),
    "second-factor": (
        "Several wrong codes were entered in a row.",
        "Wait a minute, then enter the current code from your app. Check that your phone's clock is correct.",
    ),
    "second-factor-hour": (
        "Many wrong codes were tried for this account within an hour.",
        "Wait, then try again. If it wasn't you, someone has your password: change it.",
    ),
}


def client_address(request: HttpRequest) -> str:
    """The address that the server saw; behind the proxy it is the one that the proxy vouches for."""
    return str(request.META.get("REMOTE_ADDR", ""))


def throttle_check(bucket: str, key: str, limit: int) -> None:
    """Refuse with CL-1603 once `limit` failures were counted within the bucket's window."""
    with _store(bucket):
        if (cache.get(_cache_key(bucket, key)) or 0) >= limit:
            raise too_many(bucket, key)


def throttle_count(bucket: str, key: str) -> int:
    """Count one failure and return how many there are; the window starts with the first."""
    cache_key, window = _cache_key(bucket, key), _window(bucket)
    with _store(bucket):
        if not cache.add(cache_key, 1, window):
            try:
                return int(cache.incr(cache_key))
            except ValueError:  # it ran out between the two calls
                cache.set(cache_key, 1, window)
        cache.set(_end_key(bucket, key), time.time() + window, window)
    return 1


def throttle_take(bucket: str, key: str, limit: int) -> int:
    """Count an attempt before it is made, and return how many there are; CL-1603 beyond the limit.

    `throttle_return` takes a good one back.
    """
    count = throttle_count(bucket, key)
    if count > limit:
        raise too_many(bucket, key)
    return count


def throttle_return(bucket: str, key: str) -> None:
    """Take an attempt back that turned out to be no failure."""
    try:
        cache.decr(_cache_key(bucket, key))
    except (ValueError, RedisError):  # it ran out meanwhile, or is gone with the store
        return


def throttle_clear(bucket: str, key: str) -> None:
    """Forget what was counted."""
    with contextlib.suppress(RedisError):
        cache.delete_many([_cache_key(bucket, key), _end_key(bucket, key)])


def too_many(bucket: str, key: str) -> AppError:
    """CL-1603 in the words of the bucket, with the seconds until its window ends."""
    ends_at = cache.get(_end_key(bucket, key))
    window = _window(bucket)
    seconds = math.ceil(ends_at - time.time()) if ends_at else window
    return AppError("CL-1603", *_WORDS[bucket], details={"retry_after": max(1, min(seconds, window))})


@contextlib.contextmanager
def _store(bucket: str) -> Iterator[None]:
    """Where the counters' store is away: CL-1901 (503) for what is guessable; secrets of 256 bits need no counter."""
    try:
        yield
    except RedisError as error:
        if bucket.startswith(_GUESSABLE):
            raise AppError("CL-1901") from error
        logger.warning("wrong guesses (%s) are not counted now: %s", bucket, type(error).__name__)


def _window(bucket: str) -> int:
    return _LONGER_WINDOWS.get(bucket, WINDOW_SECONDS)


def _cache_key(bucket: str, key: str) -> str:
    return f"throttle:{bucket}:{key}"


def _end_key(bucket: str, key: str) -> str:
    return f"throttle-end:{bucket}:{key}"
