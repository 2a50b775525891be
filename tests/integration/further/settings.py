"""The hub of one machine, one migration later."""

from webapp.settings.local import *  # noqa: F403
from webapp.settings.local import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.integration.further"]
