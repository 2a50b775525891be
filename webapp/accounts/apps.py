"""Django's entry to the `accounts` app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Name and defaults of the app."""

    name = "webapp.accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Listen to what happens to accounts."""
        from webapp.accounts import events  # noqa: F401
