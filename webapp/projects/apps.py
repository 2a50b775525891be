"""Django's entry to the `projects` app."""

from django.apps import AppConfig


class ProjectsConfig(AppConfig):
    """Name and defaults of the app."""

    name = "webapp.projects"
    default_auto_field = "django.db.models.BigAutoField"
