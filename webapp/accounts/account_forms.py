"""allauth's forms of an account, with the words of the rest of the interface at their fields."""

from __future__ import annotations

from typing import Any, ClassVar

from allauth.account import forms as allauth_forms
from django.forms import BaseForm

AGAIN = "The same password again"


class _OwnWords(BaseForm):
    """A form whose fields are called as `words` says."""

    words: ClassVar[dict[str, str]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, label in self.words.items():
            self.fields[name].label = label
            self.fields[name].widget.attrs.pop("placeholder", None)


class LoginForm(_OwnWords, allauth_forms.LoginForm):
    """Sign in."""

    words: ClassVar = {"login": "E-mail address", "password": "Password"}


class SignupForm(_OwnWords, allauth_forms.SignupForm):
    """Create an account."""

    words: ClassVar = {"email": "E-mail address", "password1": "Password", "password2": AGAIN}


class ResetPasswordForm(_OwnWords, allauth_forms.ResetPasswordForm):
    """Ask for a link that sets a new password."""

    words: ClassVar = {"email": "E-mail address"}


class ResetPasswordKeyForm(_OwnWords, allauth_forms.ResetPasswordKeyForm):
    """Behind that link."""

    words: ClassVar = {"password1": "New password", "password2": AGAIN}


class ChangePasswordForm(_OwnWords, allauth_forms.ChangePasswordForm):
    """Change the password."""

    words: ClassVar = {
        "oldpassword": "Current password",
        "password1": "New password",
        "password2": AGAIN,
    }


class SetPasswordForm(_OwnWords, allauth_forms.SetPasswordForm):
    """Set a password where there was none."""

    words: ClassVar = {"password1": "New password", "password2": AGAIN}


class AddEmailForm(_OwnWords, allauth_forms.AddEmailForm):
    """Add an address."""

    words: ClassVar = {"email": "E-mail address"}
