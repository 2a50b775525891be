"""The hub: accounts, organisations, projects, workers, runs, telemetry, adapters and the audit log."""

from webapp.celery import app as celery_app

__all__ = ["celery_app"]
