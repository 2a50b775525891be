"""Django's entry to the `adapters` app."""

from django.apps import AppConfig


class AdaptersConfig(AppConfig):
    """Name and defaults of the app."""

    name = "webapp.adapters"
    default_auto_field = "django.db.models.BigAutoField"
