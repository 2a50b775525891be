"""Forms of accounts and API tokens."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import UserTokenForm as AllauthUserTokenForm
from django import forms
from django.db import transaction
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from webapp.accounts import account_forms
from webapp.accounts.models import User
from webapp.accounts.scopes import Scope
from webapp.accounts.selectors import tokens_live
from webapp.accounts.services import tokens_revoke_all
from webapp.core.name_field import NameField, PersonNameField

EXPIRY_CHOICES = ((7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "1 year"))


class SignupForm(account_forms.SignupForm):
    """Sign-up by e-mail, with the person's name."""

    name = PersonNameField(max_length=120, label="Your name", widget=forms.TextInput(attrs={"autocomplete": "name"}))
    field_order = ["name", "email", "password1", "password2"]

    def custom_signup(self, request: HttpRequest, user: User) -> None:
        """Keep the name."""
        user.name = self.cleaned_data["name"]
        user.save(update_fields=["name", "updated_at"])


class ChangePasswordForm(account_forms.ChangePasswordForm):
    """A new password, and the end of the API tokens that whoever had the old one may have made."""

    keep_tokens = forms.BooleanField(required=False, label="Keep my API tokens", widget=forms.CheckboxInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        listed = _tokens_listed(self.user)
        if listed:
            self.fields["keep_tokens"].help_text = format_html(
                "Otherwise they're revoked, and programs that use them lose access immediately: {}. Someone with your"
                " old password may have created one.",
                listed,
            )
        else:
            del self.fields["keep_tokens"]

    def save(self) -> None:
        """The password, and with it the tokens, one that was made since the page was opened too."""
        self.user.keeps_tokens = bool(self.cleaned_data.get("keep_tokens"))
        super().save()


class ResetPasswordKeyForm(account_forms.ResetPasswordKeyForm):
    """A new password by a mailed link: the old one is lost or stolen, so no API token survives it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.user is not None and tokens_live(self.user).exists():
            self.fields["password2"].help_text = "Your API tokens are revoked too. Create new ones after you sign in."

    def save(self) -> None:
        """The password and the tokens change together, or not at all."""
        with transaction.atomic():
            tokens_revoke_all(user=self.user, why="the password was reset")
            super().save()


class UserTokenForm(AllauthUserTokenForm):
    """The link that resets a password names the person without the prefix of ids: its route takes no underscore."""

    def _get_user(self, uidb36: str) -> User | None:
        return User.objects.filter(pk=f"{User.id_prefix}_{uidb36}").first()


class ProfileForm(forms.Form):
    """What a person says of themselves."""

    name = PersonNameField(max_length=120, label="Your name")


class TokenForm(forms.Form):
    """A new API token."""

    name = NameField(max_length=80, help_text="What it's for, for example: nightly runs.")
    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, scope.help) for scope in Scope],
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
        initial=[Scope.READ.value],
        help_text="A token can never do more than your role.",
    )
    days = forms.TypedChoiceField(choices=EXPIRY_CHOICES, coerce=int, initial=30, label="Valid for")

    def clean_scopes(self) -> list[str]:
        """In the order of the list, each once."""
        chosen: list[Any] = self.cleaned_data["scopes"]
        return [scope.value for scope in Scope if scope.value in chosen]


def _tokens_listed(user: User) -> SafeString:
    """The person's API tokens that are in force: name, last letters and organisation of each."""
    live = [(token.name, token.hint, token.organisation.name) for token in tokens_live(user)]
    return format_html_join(", ", "{} (…{}, {})", live)
