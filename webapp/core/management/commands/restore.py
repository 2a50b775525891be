"""`manage.py restore FILE`: a hub out of a backup, in the place of one that does not run."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from processes.private_files import close_new_files, private_folder
from splitcore.errors import AppError
from webapp.core.backups import Manifest, backup_read, folder_replaced
from webapp.core.databases import (
    NAMES,
    check_no_restore_was_cut_off,
    database_dump,
    database_is_used,
    database_replaced,
    engine,
    others_connected,
)
from webapp.core.folder import only_one
from webapp.core.restored import after_restore
from workers.contracts import ChainHead


class Command(BaseCommand):
    """Checks the whole file before it touches anything; if anything fails later, what was there is put back."""

    help = "Restore this hub from a backup. Stop it first."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """From where, and whether a hub with content may be replaced."""
        parser.add_argument("file", type=Path)
        parser.add_argument("--replace", action="store_true", help="move a hub that has content aside")

    def handle(self, *args: Any, **options: Any) -> None:
        """Restore, migrate, and tell the audit log and the runs."""
        close_new_files()
        var_dir = private_folder(Path(settings.VAR_DIR))
        staged, aside = var_dir / ".restore", var_dir / f"replaced-{options['file'].stem}"
        signal.signal(signal.SIGTERM, _end)
        try:
            with only_one(var_dir), only_one(var_dir, "backup"):  # a backup now would be of a half-made hub
                shutil.rmtree(staged, ignore_errors=True)
                manifest = backup_read(options["file"], private_folder(staged))
                lost = self._set_aside(aside, replace=options["replace"])
                runs = self._replace(staged, aside, manifest, lost)
        except AppError as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{error}. All is as it was before.") from None
        except DatabaseError as error:
            raise CommandError(f"The restored database does not work ({error}). All is as it was before.") from None
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        self._tell(manifest, lost, aside, runs)

    def _set_aside(self, aside: Path, *, replace: bool) -> ChainHead | None:
        """Keep what is there, if anything is; returns where its audit chain ended. Raises AppError CL-1921."""
        check_no_restore_was_cut_off()
        if others_connected():
            raise AppError("CL-1921", "Other processes use the hub's database.")
        if not database_is_used():
            return None
        if not replace:
            raise AppError("CL-1921", "There is a hub with content here already.")
        if aside.exists():
            raise AppError("CL-1921", f"{aside} exists already.", "Move it away, then try again.")
        try:
            return database_dump(private_folder(aside) / NAMES[engine()])
        except BaseException:
            _drop_dump(aside)
            raise

    def _replace(self, staged: Path, aside: Path, manifest: Manifest, lost: ChainHead | None) -> int:
        """Put the backup in place, migrated and with an epoch of its own, or leave all as it was."""
        try:
            with database_replaced(staged / NAMES[engine()]), folder_replaced(staged, aside):
                call_command("migrate", interactive=False, verbosity=0)
                return after_restore(manifest, lost)
        except BaseException:
            _drop_dump(aside)
            raise

    def _tell(self, manifest: Manifest, lost: ChainHead | None, aside: Path, runs: int) -> None:
        self.stdout.write(
            f"Restored the hub as of {manifest.made_at}; its audit chain goes on from {manifest.sequence}."
        )
        if lost is not None:
            self.stdout.write(f"Lost: the entries up to {lost.sequence}. What was here before is in {aside}.")
        self.stdout.write(
            f"{runs} runs that were under way go on once the hub is started. Everybody signs in again."
            " What was revoked after the backup (workers, tokens, members, invitations) is valid again:"
            " look through it before you start."
        )


def _end(*_: Any) -> None:
    """Told to end, put back what was there: not to be cut off by being told once more."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


def _drop_dump(aside: Path) -> None:
    """Drop the copy of a database that is in its place again; the folder stays if anything else is in it."""
    (aside / NAMES[engine()]).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        aside.rmdir()
