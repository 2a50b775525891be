"""Django's entry to the `backups` app."""

from django.apps import AppConfig


class BackupsConfig(AppConfig):
    """Name of the app; it refuses `migrate` on a database whose restore was cut off."""

    name = "webapp.backups"

    def ready(self) -> None:
        """Register the check."""
        from webapp.backups import checks  # noqa: F401
