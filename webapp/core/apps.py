"""Django's entry to the `core` app."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    """Name and defaults of the app."""

    name = "webapp.core"
    default_auto_field = "django.db.models.BigAutoField"
