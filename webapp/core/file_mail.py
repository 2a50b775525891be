"""Mails as files that their owner alone can read: the links in them let their reader in."""

from __future__ import annotations

import os
from pathlib import Path

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
