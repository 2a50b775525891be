"""The console as an ASGI application, its tables made on the spot."""

from __future__ import annotations

import os
import warnings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workers.console.settings")

from django.core.asgi import get_asgi_application

from workers.console.body_limit import BodyLimit

# WhiteNoise hands out small files of the look; that Django gathers them in memory is no news for an operator.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")
application = BodyLimit(get_asgi_application())


def prepare() -> None:
    """Bring the console's SQLite up to date; called once, before serving."""
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)
