"""Django's entry to the `backups` app."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class BackupsConfig(AppConfig):
    """Name of the app; it refuses `migrate` on a database whose restore was cut off."""

    name = "webapp.backups"

    def ready(self) -> None:
        """Register the check, and have each connection ask whether a restore is under way."""
        from webapp.backups import checks  # noqa: F401
        from webapp.backups.standstill import share

        connection_created.connect(share, dispatch_uid="standstill")
