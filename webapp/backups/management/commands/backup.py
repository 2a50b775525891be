"""`manage.py backup FILE`: the whole hub in one file, while it runs."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from processes.private_files import close_new_files
from splitcore.errors import AppError
from webapp.audit.services import audit_record
from webapp.backups.archive import backup_write
from webapp.fleet.hub_key import hub_public_key_pem


class Command(BaseCommand):
    """Writes database, media and keys into one file that its owner alone can read."""

    help = "Back up this hub. The backup contains the hub's keys, so protect it as you would protect them."
    requires_system_checks: list[str] = []  # they load every page, and none is about a backup

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where to."""
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        """Write it, and note in the audit log that somebody did."""
        close_new_files()
        try:
            audit_record(actor=None, action="hub.backed_up", details={"file": options["file"].name})
            hub_public_key_pem()  # a key that is born later would not be in the backup, and workers pin it
            manifest = backup_write(options["file"].resolve())
        except AppError as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:  # such as while a restore has it
            raise CommandError(f"The backup wasn't written: {error}") from None
        except OSError as error:  # a full disk, or a folder that is not there
            why = (
                f"the folder {options['file'].parent} doesn't exist"
                if isinstance(error, FileNotFoundError)
                else str(error)
            )
            raise CommandError(f"The backup wasn't written: {why}. Choose another location.") from None
        size = options["file"].stat().st_size
        self.stdout.write(
            f"{options['file']}: {len(manifest.files)} files, {size} bytes, audit chain up to {manifest.sequence}."
        )
        for name in manifest.missing:
            self.stderr.write(f"{name} was removed while the backup was being written and is not in it.")
