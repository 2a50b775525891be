"""Django's entry to the `jobs` app."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """Name and defaults of the app."""

    name = "webapp.jobs"
    default_auto_field = "django.db.models.BigAutoField"
