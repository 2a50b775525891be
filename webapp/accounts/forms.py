"""Forms of accounts and API tokens."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import SignupForm as AllauthSignupForm
from allauth.account.forms import UserTokenForm as AllauthUserTokenForm
from django import forms
from django.http import HttpRequest

from webapp.accounts.models import User
from webapp.accounts.scopes import Scope
from webapp.core.name_field import NameField

EXPIRY_CHOICES = ((7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "1 year"))


class SignupForm(AllauthSignupForm):
    """Sign-up by e-mail, with the person's name."""

    name = NameField(max_length=120, label="Your name", widget=forms.TextInput(attrs={"autocomplete": "name"}))
    field_order = ["name", "email", "password1", "password2"]

    def custom_signup(self, request: HttpRequest, user: User) -> None:
        """Keep the name."""
        user.name = self.cleaned_data["name"]
        user.save(update_fields=["name", "updated_at"])


class UserTokenForm(AllauthUserTokenForm):
    """The link that resets a password names the person without the prefix of ids: its route takes no underscore."""

    def _get_user(self, uidb36: str) -> User | None:
        return User.objects.filter(pk=f"{User.id_prefix}_{uidb36}").first()


class ProfileForm(forms.Form):
    """What a person says of themselves."""

    name = NameField(max_length=120, label="Your name")


class TokenForm(forms.Form):
    """A new API token."""

    name = NameField(max_length=80, help_text="What it is for, such as: nightly runs.")
    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, scope.help) for scope in Scope],
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
        initial=[Scope.READ.value],
        help_text="A token never allows more than your role does.",
    )
    days = forms.TypedChoiceField(choices=EXPIRY_CHOICES, coerce=int, initial=30, label="Valid for")

    def clean_scopes(self) -> list[str]:
        """In the order of the list, each once."""
        chosen: list[Any] = self.cleaned_data["scopes"]
        return [scope.value for scope in Scope if scope.value in chosen]
