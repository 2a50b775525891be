"""Django's entry to the `fleet` app."""

from django.apps import AppConfig


class FleetConfig(AppConfig):
    """Name and defaults of the app."""

    name = "webapp.fleet"
    default_auto_field = "django.db.models.BigAutoField"
