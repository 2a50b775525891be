"""Django's entry to the `orgs` app."""

from django.apps import AppConfig


class OrgsConfig(AppConfig):
    """Name and defaults of the app."""

    name = "webapp.orgs"
    default_auto_field = "django.db.models.BigAutoField"
