"""Django's entry to the `datasets` app."""

from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    """Name and defaults of the app."""

    name = "webapp.datasets"
    default_auto_field = "django.db.models.BigAutoField"
