"""Settings that every deployment of the hub shares. What differs comes from the environment (CUTLAYER_…)."""

from __future__ import annotations

import secrets
from importlib.metadata import version
from pathlib import Path

import environ

from processes.private_files import born
from processes.redis_server import celery_url, url_of_folder, with_password
from webapp.settings.redis import connection_options, run_folder

BASE_DIR = Path(__file__).resolve().parents[2]
env = environ.Env()

CUTLAYER_VERSION = version("cutlayer")
VAR_DIR = Path(env.str("CUTLAYER_VAR_DIR", default=str(BASE_DIR / "var" / "hub")))


def born_secret() -> str:
    """A secret of this installation, born in its folder on first use and readable by its owner alone."""
    return born(VAR_DIR / "secret_key", lambda: secrets.token_urlsafe(64).encode()).decode()


SECRET_KEY = env.str("CUTLAYER_SECRET_KEY", default="")
SECRET_KEY_FALLBACKS = env.list("CUTLAYER_SECRET_KEY_FALLBACKS", default=[])
DEBUG = False
ALLOWED_HOSTS = env.list("CUTLAYER_ALLOWED_HOSTS", default=[])
CSRF_TRUSTED_ORIGINS = env.list("CUTLAYER_TRUSTED_ORIGINS", default=[])
BASE_URL = env.str("CUTLAYER_BASE_URL", default="http://127.0.0.1:8000")
# Whose word `serve` takes on the address of a request (X-Forwarded-For); uvicorn's own name for it counts too.
PROXY_ADDRESSES = env.list("CUTLAYER_PROXY_ADDRESSES", default=env.list("FORWARDED_ALLOW_IPS", default=[]))
SITE_NAME = env.str("CUTLAYER_SITE_NAME", default="Cutlayer")

INSTALLED_APPS = [
    "webapp.core",
    "webapp.accounts",
    "webapp.audit",
    "webapp.orgs",
    "webapp.projects",
    "webapp.fleet",
    "webapp.datasets",
    "webapp.runs",
    "webapp.jobs",
    "webapp.telemetry",
    "webapp.adapters",
    "webapp.backups",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "channels",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "webapp.core.middleware.ReadableMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "webapp.core.middleware.AppErrorMiddleware",
    "webapp.core.middleware.PlainTextMiddleware",
    "webapp.orgs.middleware.CurrentOrganisationMiddleware",
    "webapp.orgs.middleware.SecondFactorMiddleware",
]

ROOT_URLCONF = "webapp.urls"
ASGI_APPLICATION = "webapp.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "webapp.core.context.shell",
            ],
            "builtins": ["django.templatetags.static", "interface.tags"],
            "libraries": {"ui": "interface.tags"},
        },
    }
]

# SQLite with WAL and IMMEDIATE transactions unless DATABASE_URL names a server.
DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'hub.sqlite3'}")}
if password_file := env.str("CUTLAYER_DATABASE_PASSWORD_FILE", default=""):
    DATABASES["default"]["PASSWORD"] = Path(password_file).read_text().strip()
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
    }

# The server that REDIS_URL names, else the one that `manage.py serve` runs in the hub's folder.
REDIS_URL = env.str("REDIS_URL", default="")
if REDIS_URL and (password_file := env.str("CUTLAYER_REDIS_PASSWORD_FILE", default="")):
    REDIS_URL = with_password(REDIS_URL, Path(password_file).read_text().strip())
REDIS_URL = REDIS_URL or url_of_folder(run_folder(VAR_DIR))
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [{"address": REDIS_URL, **connection_options(asynchronous=True)}], "prefix": "cutlayer"},
    }
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "cutlayer:json",
        # Counters and times: a form of data that cannot carry code, whoever has written it.
        "OPTIONS": {"serializer": "webapp.core.cache_form.JsonSerializer", **connection_options()},
    }
}

CELERY_BROKER_URL = celery_url(REDIS_URL)
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_REDIRECT_URL = "/home"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_SUBJECT_PREFIX = f"[{SITE_NAME}] "
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True  # a session alone changes no address: it may be stolen
ACCOUNT_EMAIL_NOTIFICATIONS = True
# webapp/accounts/adapter.py counts failed sign-ins, factor_forms.py wrong codes of second factors.
ACCOUNT_RATE_LIMITS = {"login": None, "login_failed": None}
ACCOUNT_ADAPTER = "webapp.accounts.adapter.AccountAdapter"
ACCOUNT_FORMS = {
    "login": "webapp.accounts.account_forms.LoginForm",
    "signup": "webapp.accounts.forms.SignupForm",
    "reset_password": "webapp.accounts.account_forms.ResetPasswordForm",
    "set_password": "webapp.accounts.account_forms.SetPasswordForm",
    "add_email": "webapp.accounts.account_forms.AddEmailForm",
    "user_token": "webapp.accounts.forms.UserTokenForm",
    "change_password": "webapp.accounts.forms.ChangePasswordForm",
    "reset_password_from_key": "webapp.accounts.forms.ResetPasswordKeyForm",
}
MFA_ADAPTER = "webapp.accounts.second_factor.MFAAdapter"
MFA_FORMS = {
    "authenticate": "webapp.accounts.factor_forms.CountedAuthenticateForm",
    "reauthenticate": "webapp.accounts.factor_forms.CountedReauthenticateForm",
}
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = SITE_NAME

# Without a mail server each mail becomes a file in the hub's folder, where whoever runs it can open the links. They let
# their reader in as somebody else, so they are printed into no log unless EMAIL_URL=consolemail:// asks for it.
EMAIL_CONFIG = env.email_url("EMAIL_URL", default="filemail://")
globals().update(EMAIL_CONFIG)
if EMAIL_CONFIG["EMAIL_BACKEND"].endswith("filebased.EmailBackend"):
    EMAIL_BACKEND = "webapp.core.file_mail.PrivateFileBackend"
EMAIL_FILE_PATH = env.str("CUTLAYER_MAIL_DIR", default=str(VAR_DIR / "mail"))
DEFAULT_FROM_EMAIL = env.str("CUTLAYER_MAIL_FROM", default="Cutlayer <cutlayer@localhost>")

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("CUTLAYER_STATIC_ROOT", default=str(BASE_DIR / "staticfiles")))
STATICFILES_DIRS = [
    BASE_DIR / "static",
    ("vendor/tabler", BASE_DIR / "node_modules" / "@tabler" / "core" / "dist"),
    ("vendor/uplot", BASE_DIR / "node_modules" / "uplot" / "dist"),
]
ICONS_DIR = BASE_DIR / "node_modules" / "@tabler" / "icons" / "icons" / "outline"
MEDIA_ROOT = VAR_DIR / "media"
FILE_UPLOAD_PERMISSIONS = 0o600
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o700
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "font-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_NAME = "cutlayer_session"
CSRF_COOKIE_NAME = "cutlayer_csrf"
DEVICE_COOKIE_NAME = "cutlayer_device"  # webapp/accounts/devices.py
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"

# The hub's own limits.
ENROLMENT_TOKEN_MINUTES = 60
INVITATION_DAYS = 7
INVITATIONS_PER_DAY = env.int("CUTLAYER_INVITATIONS_PER_DAY", default=100)  # of one person, in all organisations
UPLOAD_TICKET_MINUTES = 10
WORKER_BEAT_SECONDS = env.int("CUTLAYER_BEAT_SECONDS", default=5)
WORKER_CLOCK_SKEW_SECONDS = 300
WORKER_BODY_MAX_BYTES = 1 * 1024 * 1024
TOKENIZER_MAX_BYTES = 64 * 1024 * 1024  # each file
MIN_FREE_BYTES = env.int("CUTLAYER_HUB_MIN_FREE_BYTES", default=100 * 1024**2)  # less is an alarm in /health
METRICS_TOKEN = env.str("CUTLAYER_METRICS_TOKEN", default="")  # else born in the folder, metrics_token
ARTEFACT_MAX_BYTES = env.int("CUTLAYER_ARTEFACT_MAX_BYTES", default=4 * 1024**3)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "root": {"handlers": ["console"], "level": env.str("CUTLAYER_LOG_LEVEL", default="INFO")},
}
