"""Django's entry to the `runs` app."""

from django.apps import AppConfig


class RunsConfig(AppConfig):
    """Name and defaults of the app."""

    name = "webapp.runs"
    default_auto_field = "django.db.models.BigAutoField"
