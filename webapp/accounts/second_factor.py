"""Seeds of second factors are encrypted in the database: whoever reads it alone can't make anybody's codes."""

from __future__ import annotations

import logging
import secrets
from base64 import b32encode
from typing import Any, ClassVar

from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import InvalidToken

from webapp.core.sealed import cipher

logger = logging.getLogger(__name__)
PURPOSE = "second factor"
MARK = "encrypted:"  # seeds that an older version wrote in the clear have none


class MFAAdapter(DefaultMFAAdapter):
    """allauth's behaviour, with the seeds of codes encrypted under a key derived from the hub's secret key."""

    error_messages: ClassVar[dict[str, Any]] = {
        **DefaultMFAAdapter.error_messages,
        "add_email_blocked": "You can't add an address while two-factor sign-in is on. Turn it off first.",
        "cannot_delete_authenticator": "Two-factor sign-in can't be turned off.",
        "cannot_generate_recovery_codes": "Recovery codes need an authenticator app. Set one up first.",
        "incorrect_code": "This code is incorrect. The app shows a new one every 30 seconds.",
        "unverified_email": "Confirm your e-mail addresses first, then set up the app.",
    }

    def encrypt(self, text: str) -> str:
        """What the database keeps of a seed."""
        return MARK + cipher(PURPOSE).encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """The seed. In the place of one that another secret key has encrypted: a random one, which fits no code."""
        if not encrypted_text.startswith(MARK):
            return encrypted_text
        try:
            return cipher(PURPOSE).decrypt(encrypted_text.removeprefix(MARK).encode()).decode()
        except InvalidToken:
            logger.error("a second factor was stored under another secret key: see CUTLAYER_SECRET_KEY_FALLBACKS")
            return b32encode(secrets.token_bytes(20)).decode()
