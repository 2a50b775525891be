"""Django's entry to the `core` app."""

from django.apps import AppConfig
from django.urls import register_converter

from processes.redaction import redact_logs


class CoreConfig(AppConfig):
    """Name and defaults of the app."""

    name = "webapp.core"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Keep tokens out of the logs, make the form of public ids known, and register the deployment's checks."""
        redact_logs()
        from webapp.core.converters import PublicId

        register_converter(PublicId, "pub")
        from webapp.core import deployment_checks

        assert deployment_checks
