"""Django's entry to the `core` app."""

from django.apps import AppConfig
from django.urls import register_converter


class CoreConfig(AppConfig):
    """Name and defaults of the app."""

    name = "webapp.core"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Make the form of public ids known before any address is read, and register the deployment's checks."""
        from webapp.core.converters import PublicId

        register_converter(PublicId, "pub")
        from webapp.core import deployment_checks

        assert deployment_checks
