"""Django's entry to the `telemetry` app."""

from django.apps import AppConfig


class TelemetryConfig(AppConfig):
    """Name and defaults of the app."""

    name = "webapp.telemetry"
    default_auto_field = "django.db.models.BigAutoField"
