"""The hub on one machine without TLS: development and the demo. Loopback only."""

from webapp.settings.base import *  # noqa: F403
from webapp.settings.base import STATIC_ROOT, born_secret, env

SECRET_KEY = env.str("CUTLAYER_SECRET_KEY", default="") or born_secret()
ALLOWED_HOSTS = env.list("CUTLAYER_ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
DEBUG = env.bool("CUTLAYER_DEBUG", default=False)
WHITENOISE_USE_FINDERS = True
if not STATIC_ROOT.exists():
    STATIC_ROOT = None  # type: ignore[assignment]  # the finders serve the files from where they are
WHITENOISE_AUTOREFRESH = DEBUG
SHOW_STYLEGUIDE = True
