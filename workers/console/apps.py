"""Django's entry to the console."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """Name and label of the app."""

    name = "workers.console"
    label = "console"
