#!/usr/bin/env python
"""Django's command line for the hub."""

import os
import sys

from processes.private_files import close_new_files
from webapp.listening import early_check


def main() -> None:
    """Run a management command with the development settings unless others are named."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings.local")
    close_new_files()
    if refusal := early_check(sys.argv):
        sys.exit(refusal)
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
