"""The console as an ASGI application, its tables made on the spot."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workers.console.settings")

from django.core.asgi import get_asgi_application

from workers.console.body_limit import BodyLimit

application = BodyLimit(get_asgi_application())


def prepare() -> None:
    """Bring the console's SQLite up to date; called once, before serving."""
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)
