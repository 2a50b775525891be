"""The hub on one machine without TLS: development and the demo. Loopback only."""

from webapp.settings.base import *  # noqa: F403
from webapp.settings.base import VAR_DIR, env

SECRET_KEY = env.str("CUTLAYER_SECRET_KEY", default="local-only-not-a-secret-" + "x" * 40)
ALLOWED_HOSTS = env.list("CUTLAYER_ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
DEBUG = env.bool("CUTLAYER_DEBUG", default=False)
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
SHOW_STYLEGUIDE = True
VAR_DIR.mkdir(parents=True, exist_ok=True)
