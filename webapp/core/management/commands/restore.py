"""`manage.py restore FILE`: a hub out of a backup, in the place of one that does not run."""

from __future__ import annotations

import shutil
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from processes.private_files import close_new_files, private_folder
from splitcore.errors import AppError
from webapp.audit.witness import chain_head
from webapp.core.backups import Manifest, backup_read, folder_replace
from webapp.core.databases import NAMES, database_dump, database_is_used, database_load, engine, others_connected
from webapp.core.folder import only_one
from webapp.core.restored import after_restore
from workers.contracts import ChainHead


class Command(BaseCommand):
    """Checks the whole file before it touches anything, and deletes nothing."""

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
        try:
            with only_one(var_dir):
                shutil.rmtree(staged, ignore_errors=True)
                manifest = backup_read(options["file"], private_folder(staged))
                lost = self._set_aside(aside, replace=options["replace"])
                self._load(staged, aside)
                call_command("migrate", interactive=False, verbosity=0)
                runs = after_restore(manifest, lost)
        except AppError as error:
            raise CommandError(str(error)) from None
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        self._tell(manifest, lost, aside, runs)

    def _set_aside(self, aside: Path, *, replace: bool) -> ChainHead | None:
        """Keep what is there, if anything is; returns where its audit chain ended. Raises AppError CL-1921."""
        if others_connected():
            raise AppError("CL-1921", "Other processes use the hub's database.")
        if not database_is_used():
            return None
        if not replace:
            raise AppError("CL-1921", "There is a hub with content here already.")
        if aside.exists():
            raise AppError("CL-1921", f"{aside} exists already.", "Move it away, then try again.")
        lost = chain_head()
        database_dump(private_folder(aside) / NAMES[engine()])
        return lost

    def _load(self, staged: Path, aside: Path) -> None:
        database_load(staged / NAMES[engine()])
        folder_replace(staged, aside)

    def _tell(self, manifest: Manifest, lost: ChainHead | None, aside: Path, runs: int) -> None:
        self.stdout.write(
            f"Restored the hub as of {manifest.made_at}; its audit chain goes on from {manifest.sequence}."
        )
        if lost is not None:
            self.stdout.write(f"Lost: the entries up to {lost.sequence}. What was here before is in {aside}.")
        self.stdout.write(
            f"{runs} open runs go on once the hub is started. Everybody signs in again. What was revoked after the"
            " backup (workers, tokens, members, invitations) is valid again: look through it before you start."
        )
