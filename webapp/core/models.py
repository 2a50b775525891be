"""Bases of the hub's models."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from webapp.core.ids import new_id


class PublicModel(models.Model):
    """A row with a public id as its primary key, and its times."""

    id_prefix: ClassVar[str] = "obj"

    id = models.CharField(primary_key=True, max_length=32, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Give a new row its id."""
        if not self.id:
            self.id = new_id(self.id_prefix)
            kwargs["force_insert"] = True
        super().save(*args, **kwargs)
