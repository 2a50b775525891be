"""The e-mails of invitations: plain text, readable without a browser."""

from __future__ import annotations

import logging
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.utils import timezone

from webapp.orgs.models import Invitation

logger = logging.getLogger(__name__)


def invitation_link(token: str) -> str:
    """The address that the invited person opens."""
    return f"{settings.BASE_URL.rstrip('/')}/invite/{token}"


def invitation_mail(invitation: Invitation, token: str) -> None:
    """Send the invitation; a mail server that is away loses nothing, because the link can be copied."""
    context = {"invitation": invitation, "link": invitation_link(token), "site_name": settings.SITE_NAME}
    # A name may hold anything but a line break: that would be another header.
    subject = " ".join(render_to_string("orgs/mail/invitation_subject.txt", context).split())
    body = render_to_string("orgs/mail/invitation_body.txt", context)
    try:
        send_mail(subject, body, settings.DEFAULT_FROM_EMAIL, [invitation.email])
    except (OSError, SMTPException) as error:
        logger.warning("invitation %s was not mailed: %s", invitation.pk, type(error).__name__)
        return
    Invitation.objects.filter(pk=invitation.pk).update(mailed_at=timezone.now())
