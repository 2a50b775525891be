"""Django's entry to the `audit` app."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """Name and defaults of the app."""

    name = "webapp.audit"
    default_auto_field = "django.db.models.BigAutoField"
