"""Counting failed guesses per minute, so that secrets cannot be tried out."""

from __future__ import annotations

from django.core.cache import cache
from django.http import HttpRequest

from splitcore.errors import AppError

WINDOW_SECONDS = 60


def client_address(request: HttpRequest) -> str:
    """The address that the server saw; behind the proxy it is the one that the proxy vouches for."""
    return str(request.META.get("REMOTE_ADDR", ""))


def throttle_check(bucket: str, key: str, limit: int) -> None:
    """Refuse with CL-1603 once `limit` failures were counted within the minute."""
    if (cache.get(_cache_key(bucket, key)) or 0) >= limit:
        raise AppError("CL-1603")


def throttle_count(bucket: str, key: str) -> None:
    """Count one failure; the window starts with the first."""
    cache_key = _cache_key(bucket, key)
    if not cache.add(cache_key, 1, WINDOW_SECONDS):
        try:
            cache.incr(cache_key)
        except ValueError:  # it ran out between the two calls
            cache.set(cache_key, 1, WINDOW_SECONDS)


def _cache_key(bucket: str, key: str) -> str:
    return f"throttle:{bucket}:{key}"
