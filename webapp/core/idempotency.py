"""`Idempotency-Key`: a repeated POST gets the first answer again instead of a second object."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone
from ninja.signature.utils import get_typed_signature
from pydantic import BaseModel

from splitcore.errors import AppError
from webapp.accounts.models import IdempotentAnswer

KEPT_FOR = timedelta(days=1)
_SECRET = re.compile(r"cl[a-z]_[\w-]{43}")  # as webapp.core.ids.new_token makes them


def idempotent(operation: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate an API operation (below `@router.post`); without the header nothing changes.

    The key is bound to the token (or person), the path and the body; the same key with another body is CL-1605.
    """

    @wraps(operation)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        key = request.headers.get("Idempotency-Key", "").strip()
        if not key:
            return operation(request, *args, **kwargs)
        if len(key) > 200:
            raise AppError("CL-1605", "The Idempotency-Key is longer than 200 characters.")
        return _once(request, key, lambda: operation(request, *args, **kwargs))

    # ninja resolves annotations in the wrapper's module: hand it the signature already resolved.
    guarded.__signature__ = get_typed_signature(operation)  # type: ignore[attr-defined]
    return guarded


def _once(request: HttpRequest, key: str, produce: Callable[[], Any]) -> Any:
    """Reserve the key, run the operation, keep its answer; or give the kept one."""
    principal = request.auth  # type: ignore[attr-defined]
    owner = principal.token.pk if principal.token else principal.user.pk
    body_hash = hashlib.sha256(request.body).hexdigest()
    IdempotentAnswer.objects.filter(created_at__lt=timezone.now() - KEPT_FOR).delete()
    try:
        with transaction.atomic():
            row = IdempotentAnswer.objects.create(owner_id=owner, key=key, path=request.path, body_hash=body_hash)
    except IntegrityError:
        return _kept(IdempotentAnswer.objects.get(owner_id=owner, key=key, path=request.path), body_hash)
    try:
        status, answer = _split(produce())
    except BaseException:
        row.delete()  # a refused request may be sent again, corrected
        raise
    row.status, row.answer = status, _without_secrets(_plain(answer))
    row.save()
    return (status, answer) if status else answer


def _kept(row: IdempotentAnswer, body_hash: str) -> Any:
    """The first answer, unless the body differs or the first request is still running."""
    if row.body_hash != body_hash:
        raise AppError("CL-1605", "This Idempotency-Key was already used with a different body.")
    if row.answer is None:
        raise AppError("CL-1605", "The first request with this Idempotency-Key is still in progress.")
    return (row.status, row.answer) if row.status else row.answer


def _split(result: Any) -> tuple[int, Any]:
    """Status (0: the operation's default) and body of what an operation returned."""
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], int):
        return result
    return 0, result


def _plain(answer: Any) -> Any:
    """The answer as JSON; operations that want this return schemas or dictionaries."""
    if isinstance(answer, BaseModel):
        return answer.model_dump(mode="json")
    return json.loads(json.dumps(answer, cls=DjangoJSONEncoder))


def _without_secrets(answer: Any) -> Any:
    """The answer as it is kept: a text that holds a token is emptied, because only hashes of tokens are stored."""
    if isinstance(answer, dict):
        return {key: _without_secrets(value) for key, value in answer.items()}
    if isinstance(answer, list):
        return [_without_secrets(value) for value in answer]
    if isinstance(answer, str) and _SECRET.search(answer):
        return ""
    return answer
