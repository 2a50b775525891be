"""Periodic work of the fleet."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from webapp.fleet.models import SpentNonce


@shared_task
def forget_nonces() -> None:
    """Drop nonces whose time window has passed: the clock check refuses their requests by itself."""
    SpentNonce.objects.filter(expires_at__lt=timezone.now()).delete()
