"""`manage.py restore FILE`: a hub out of a backup, in the place of one that does not run."""

from __future__ import annotations

import contextlib
import itertools
import logging
import shutil
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from processes.private_files import close_new_files, private_folder
from splitcore.errors import AppError
from webapp.backups.afterwards import after_restore
from webapp.backups.archive import Manifest, backup_read
from webapp.backups.databases import NAMES, chain_end, database_dump, database_is_used, engine, others_connected
from webapp.backups.replacing import check_no_restore_was_cut_off, dump_drop, hub_replaced, undo
from webapp.backups.standstill import standstill
from webapp.core.folder import only_one
from workers.contracts import ChainHead

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Command(BaseCommand):
    """Checks the whole file before it touches anything; if anything fails later, what was there is put back."""

    help = "Restore this hub from a backup. Stop it first."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """From where, and whether a hub with content may be replaced."""
        parser.add_argument("file", type=Path, nargs="?")
        parser.add_argument("--replace", action="store_true", help="move an existing hub with data aside")
        parser.add_argument("--undo", action="store_true", help="undo an interrupted restore")

    def handle(self, *args: Any, **options: Any) -> None:
        """Restore, migrate, and tell the audit log and the runs."""
        if (options["file"] is None) != options["undo"]:
            raise CommandError("Give a backup, or only --undo.")
        close_new_files()
        logging.getLogger("webapp.core.live").setLevel(logging.ERROR)  # no worker hears a bell now, nor need it
        var_dir = private_folder(Path(settings.VAR_DIR))
        for number in _SIGNALS:
            signal.signal(number, _end)
        with _told_plainly(), only_one(var_dir), only_one(var_dir, "backup"):  # a backup would be of a half-made hub
            if options["undo"]:
                with standstill():
                    undo(var_dir / ".restore")
                self.stdout.write("The state before the interrupted restore is back.")
            else:
                self._restore(var_dir, options["file"], replace=options["replace"])

    def _restore(self, var_dir: Path, file: Path, *, replace: bool) -> None:
        staged, aside = var_dir / ".restore", _free(var_dir / f"replaced-{file.stem}")
        check_no_restore_was_cut_off()  # before the note in `staged` goes, by which one is undone
        shutil.rmtree(staged, ignore_errors=True)
        try:
            manifest = backup_read(file, private_folder(staged))
            if others_connected():
                raise AppError("CL-1921", "Other processes are using the hub's database.")
            with standstill():
                lost = self._look(aside, replace=replace)
                with hub_replaced(staged, aside):
                    call_command("migrate", interactive=False, verbosity=0)
                    runs = after_restore(manifest, lost)
                    _ignore_signals()  # it is done; what was replaced is put away
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        self._tell(manifest, lost, aside, runs)

    def _look(self, aside: Path, *, replace: bool) -> ChainHead | None:
        """Whether what is there may be replaced; returns where its audit chain ended. Raises AppError."""
        if not database_is_used():
            return None
        if not replace:
            raise AppError("CL-1921", "This folder already contains a hub with data.")
        if engine() == "sqlite":
            return chain_end()
        try:
            return database_dump(private_folder(aside) / NAMES[engine()])
        except BaseException:
            dump_drop(aside)
            raise

    def _tell(self, manifest: Manifest, lost: ChainHead | None, aside: Path, runs: int) -> None:
        self.stdout.write(
            f"Restored the hub as of {manifest.made_at}; its audit chain continues from {manifest.sequence}."
        )
        if lost is not None:
            self.stdout.write(f"Lost: the entries up to {lost.sequence}.")
        if (aside / NAMES[engine()]).exists():
            self.stdout.write(f"The previous files are in {aside}.")
        self.stdout.write(
            f"{runs} runs that were in progress continue once the hub is started. Everyone has to sign in again."
            " Anything revoked after the backup (workers, tokens, members, invitations) is valid again:"
            " review it before you start."
        )


def _free(path: Path) -> Path:
    """This path, or the first of it with a number that is not taken."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(one for one in itertools.chain([path], numbered) if not one.exists())


@contextlib.contextmanager
def _told_plainly() -> Iterator[None]:
    """Errors as a command says them."""
    try:
        yield
    except AppError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{error}. Nothing was changed.") from None
    except DatabaseError as error:
        raise CommandError(f"The database doesn't work: {error}. Nothing was changed.") from None


def _end(*_: Any) -> None:
    """Told to end, put back what was there: not to be cut off by being told once more."""
    _ignore_signals()
    sys.exit(128 + signal.SIGTERM)


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
