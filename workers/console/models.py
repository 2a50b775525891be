"""What the console remembers beside the sessions."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class SpentTicket(models.Model):
    """An upload ticket that was exchanged: it cannot be exchanged again."""

    ticket_id = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()

    objects: ClassVar[models.Manager[SpentTicket]] = models.Manager()

    class Meta:
        app_label = "console"

    def __str__(self) -> str:
        return self.ticket_id
