"""Settings of the tests: a temporary SQLite file or `python -m tests.postgresql`'s server; memory in place of Redis."""

import tempfile
from pathlib import Path

from webapp.settings.base import *  # noqa: F403
from webapp.settings.base import BASE_DIR, DATABASES, env

VAR_DIR = Path(tempfile.mkdtemp(prefix="cutlayer-test-"))
MEDIA_ROOT = VAR_DIR / "media"
SECRET_KEY = "test-only-" + "x" * 50
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
if server := env.str("CUTLAYER_TEST_DATABASE_URL", default=""):
    DATABASES = {"default": env.db_url_config(server)}
else:
    DATABASES["default"]["NAME"] = str(VAR_DIR / "hub.sqlite3")
    DATABASES["default"]["TEST"] = {"NAME": str(VAR_DIR / "test.sqlite3")}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
STATIC_ROOT = BASE_DIR / "static"
WHITENOISE_AUTOREFRESH = True
WHITENOISE_USE_FINDERS = True
SHOW_STYLEGUIDE = True
