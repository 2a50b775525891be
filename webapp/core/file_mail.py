"""Mails as files that their owner alone can read: the links in them let their reader in."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings
from django.core.mail.backends.filebased import EmailBackend

from processes.private_files import private_folder


class PrivateFileBackend(EmailBackend):
    """Django's backend, with a closed folder and closed files whatever the umask."""

    def open(self) -> bool:
        """Begin the file of this sending."""
        if self.stream is not None:
            return False
        path = self._get_filename()
        private_folder(Path(path).parent)
        self.stream = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
        return True


def mail_kept_in() -> str:
    """The folder in which mails stay while no mail server is set; empty where mails go out.

    Anybody may read this, so it names the folder from the hub's own on, never the machine's whole path.
    """
    if not settings.EMAIL_BACKEND.endswith("PrivateFileBackend"):
        return ""
    folder, hub = Path(settings.EMAIL_FILE_PATH).resolve(), Path(settings.VAR_DIR).resolve()
    return str(Path(hub.name, folder.relative_to(hub))) if folder.is_relative_to(hub) else "CUTLAYER_MAIL_DIR"
