"""What `manage.py migrate` asks first, in containers the first step of a hub's start."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register

from splitcore.errors import AppError
from webapp.backups.replacing import check_no_restore_was_cut_off


@register(Tags.database)
def no_restore_was_cut_off(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """A database that is half restored is neither migrated nor served."""
    if not databases:
        return []
    try:
        check_no_restore_was_cut_off()
    except AppError as error:
        return [Error(error.message, hint=error.remedy, id=f"cutlayer.{error.code}")]
    return []
