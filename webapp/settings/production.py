"""The hub behind a TLS-terminating proxy."""

from webapp.settings.base import *  # noqa: F403
from webapp.settings.base import born_secret, env

SECRET_KEY = env.str("CUTLAYER_SECRET_KEY", default="") or born_secret()
ALLOWED_HOSTS = env.list("CUTLAYER_ALLOWED_HOSTS")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = env.bool("CUTLAYER_SSL_REDIRECT", default=True)
SECURE_HSTS_SECONDS = 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
# Browsers take a cookie of such a name from this host alone, over TLS, for all of it: neither a neighbouring host nor
# something on another port without TLS can set one.
SESSION_COOKIE_NAME = "__Host-cutlayer_session"
CSRF_COOKIE_NAME = "__Host-cutlayer_csrf"
DEVICE_COOKIE_NAME = "__Secure-cutlayer_device"  # for the addresses below /accounts/ alone
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
