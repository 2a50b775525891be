"""The hub on one machine without TLS: development and the demo. Loopback only."""

from webapp.settings.base import *  # noqa: F403
from webapp.settings.base import born_secret, env

SECRET_KEY = env.str("CUTLAYER_SECRET_KEY", default="") or born_secret()
ALLOWED_HOSTS = env.list("CUTLAYER_ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
DEBUG = env.bool("CUTLAYER_DEBUG", default=False)
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
SHOW_STYLEGUIDE = True

# Without a mail server each mail becomes a file in the hub's folder, where whoever runs it can open the links.
if not env.str("EMAIL_URL", default=""):
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
