"""The hub on one machine without TLS: development and the demo. Loopback only."""

import os
import secrets

from webapp.settings.base import *  # noqa: F403
from webapp.settings.base import VAR_DIR, env

VAR_DIR.mkdir(parents=True, exist_ok=True)


def _local_secret() -> str:
    """A secret of this installation, born on first use and readable by its owner alone."""
    path = VAR_DIR / "secret_key"
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
    except FileExistsError:
        pass
    return path.read_text()


SECRET_KEY = env.str("CUTLAYER_SECRET_KEY", default="") or _local_secret()
ALLOWED_HOSTS = env.list("CUTLAYER_ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
DEBUG = env.bool("CUTLAYER_DEBUG", default=False)
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
SHOW_STYLEGUIDE = True
