"""Settings of the worker's own page: its own SQLite, cookies and hosts; the hub's look, none of the hub's code."""

from __future__ import annotations

import os
import secrets
from importlib.metadata import version
from pathlib import Path

from processes.private_files import born, private_folder

REPO_DIR = Path(__file__).resolve().parents[2]
HOME = Path(os.environ.get("CUTLAYER_WORKER_HOME", "~/.cutlayer/worker")).expanduser()
CONSOLE_DIR = private_folder(HOME / "console")
CUTLAYER_VERSION = version("cutlayer")

SECRET_KEY = born(CONSOLE_DIR / "secret_key", lambda: secrets.token_urlsafe(48).encode()).decode()
DEBUG = False
# The Host header is checked against this list, so that a foreign name that resolves here (DNS rebinding) is refused.
ALLOWED_HOSTS = os.environ.get("CUTLAYER_CONSOLE_HOSTS", "127.0.0.1,localhost").split(",")
INSTALLED_APPS = [
    "workers.console",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "workers.console.middleware.AppErrorMiddleware",
]
ROOT_URLCONF = "workers.console.urls"
ASGI_APPLICATION = "workers.console.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates", REPO_DIR / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.messages.context_processors.messages",
                "workers.console.context.shell",
            ],
            "builtins": ["django.templatetags.static", "interface.tags"],
            "libraries": {"ui": "interface.tags"},
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(CONSOLE_DIR / "console.sqlite3"),
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
USE_TZ = True
TIME_ZONE = "UTC"

# Cookies are shared by all ports of a host: each console has names of its own.
_SUFFIX = born(CONSOLE_DIR / "cookie_suffix", lambda: secrets.token_hex(4).encode()).decode()
SESSION_COOKIE_NAME = f"cutlayer_console_{_SUFFIX}"
CSRF_COOKIE_NAME = SESSION_COOKIE_NAME + "_csrf"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Strict"
CSRF_COOKIE_SAMESITE = "Strict"
SESSION_COOKIE_AGE = 3600
SESSION_EXPIRE_AT_BROWSER_CLOSE = True

STATIC_URL = "/static/"
STATIC_ROOT = None  # nothing is collected: the finders below serve the files from where they are
STATICFILES_DIRS = [
    REPO_DIR / "static",
    ("vendor/tabler", REPO_DIR / "node_modules" / "@tabler" / "core" / "dist"),
    ("vendor/uplot", REPO_DIR / "node_modules" / "uplot" / "dist"),
]
ICONS_DIR = REPO_DIR / "node_modules" / "@tabler" / "icons" / "icons" / "outline"
WHITENOISE_USE_FINDERS = True
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "workers.console.views.refusing.form_is_stale"
SECURE_REFERRER_POLICY = "no-referrer"
SECURE_CONTENT_TYPE_NOSNIFF = True
# One part of a file, in memory: a body must not reach the disk before it is known who sends it (body_limit.py).
DATA_UPLOAD_MAX_MEMORY_SIZE = FILE_UPLOAD_MAX_MEMORY_SIZE = 9 * 1024 * 1024
DATASET_QUOTA_BYTES = (
    int(os.environ["CUTLAYER_DATASET_QUOTA_BYTES"]) if "CUTLAYER_DATASET_QUOTA_BYTES" in os.environ else None
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "loggers": {"django.request": {"level": "ERROR"}, "django.security": {"level": "ERROR"}},
}
