"""What `manage.py check --deploy` says about the hub's folder and its mail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register

from processes.private_files import first_lax


@register(Tags.security, deploy=True)
def folder_is_closed(**_: Any) -> list[CheckMessage]:
    """Other accounts of the machine read nothing of the hub's folder."""
    found = first_lax(Path(settings.VAR_DIR))
    if found is None:
        return []
    hint = "`manage.py serve` restricts the folder when it starts. To do it by hand: chmod -R go= on it."
    return [Warning(f"Other accounts on this machine can access {found}.", hint=hint, id="cutlayer.W001")]


@register(Tags.security, deploy=True)
def mail_reaches_people(**_: Any) -> list[CheckMessage]:
    """Invitations and links to reset a password go to people, and into no log."""
    backend = settings.EMAIL_BACKEND
    if backend.endswith("console.EmailBackend"):
        text = "E-mails, including sign-in and invitation links, are printed to the log."
        return [Warning(text, hint="Set a mail server with EMAIL_URL (smtp+tls://…).", id="cutlayer.W002")]
    if backend.endswith("PrivateFileBackend"):
        text = f"No mail server is set. E-mails are written to {settings.EMAIL_FILE_PATH} and not delivered."
        return [Warning(text, hint="Set a mail server with EMAIL_URL (smtp+tls://…).", id="cutlayer.W003")]
    return []
