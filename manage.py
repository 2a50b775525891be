#!/usr/bin/env python
"""Django's command line for the hub."""

import os
import sys

from processes.interruption import calm_imports, run_calmly
from processes.lasting_imports import lasting_imports


def main() -> None:
    """Run a management command with the development settings unless others are named."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings.local")
    with calm_imports(), lasting_imports():
        from processes.private_files import close_new_files
        from webapp.listening import early_check

        close_new_files()
        if refusal := early_check(sys.argv):
            sys.exit(refusal)
        from django.core.management import execute_from_command_line

        if sys.argv[1:2] == ["serve"]:
            import django

            django.setup()  # takes most of the time until it serves
    sys.exit(run_calmly(lambda: execute_from_command_line(sys.argv)))


if __name__ == "__main__":
    main()
