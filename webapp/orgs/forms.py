"""Forms of organisations, people and invitations."""

from __future__ import annotations

from typing import Any

from django import forms

from webapp.core.name_field import NameField
from webapp.orgs.models import Organisation, PartyKind, Role

KIND_HELP = "Data: has text to train on. Compute: has the GPU. You can change this later."


class OrganisationForm(forms.Form):
    """A new organisation."""

    name = NameField(
        max_length=120, min_length=2, help_text="The name partners know you by. It must be unique on this hub."
    )
    kind = forms.ChoiceField(choices=PartyKind.choices, label="What it provides", help_text=KIND_HELP)


class ProfileForm(forms.Form):
    """The profile of an organisation."""

    name = NameField(max_length=120, min_length=2)
    kind = forms.ChoiceField(choices=PartyKind.choices, label="What it provides", help_text=KIND_HELP)
    contact_email = forms.EmailField(
        required=False,
        label="Operator on call",
        help_text="Shown to partners when your worker is offline or has failed.",
    )
    dpo_email = forms.EmailField(
        required=False, label="Data protection officer", help_text="Shown to partners on the project's pages."
    )
    require_second_factor = forms.BooleanField(
        required=False,
        label="Require two-factor sign-in for every member",
        help_text="Members without a second factor will be asked to set one up.",
    )

    @classmethod
    def of(cls, organisation: Organisation) -> ProfileForm:
        """The form filled with what is stored."""
        return cls(initial={name: getattr(organisation, name) for name in cls.base_fields})


class PersonInvitationForm(forms.Form):
    """An invitation of a colleague."""

    email = forms.EmailField(label="E-mail address")
    role = forms.ChoiceField(choices=Role.choices, initial=Role.ENGINEER)
    message = forms.CharField(
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Shown with the invitation.",
    )


class PartnerInvitationForm(forms.Form):
    """An invitation of a partner organisation to a project."""

    email = forms.EmailField(
        label="E-mail address of a contact there", help_text="Someone who can decide for the organisation."
    )
    party_kind = forms.ChoiceField(choices=PartyKind.choices, label="Takes part with")
    message = forms.CharField(
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Shown with the invitation.",
    )


class RoleForm(forms.Form):
    """Another role for a member."""

    role = forms.ChoiceField(choices=Role.choices)


class DeclineForm(forms.Form):
    """A reason for saying no."""

    reason = forms.CharField(required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 3}))


NEW_ORGANISATION = "new"


class JoinForm(forms.Form):
    """Which organisation joins a project: one of the person's own, or a new one, which then needs a name."""

    use_required_attribute = False  # the name is hidden, and not asked for, while an organisation is chosen
    organisation = forms.ChoiceField(
        label="Organisation joining", error_messages={"required": "Choose the organisation that will join."}
    )
    name = NameField(
        max_length=120,
        min_length=2,
        label="Name of the new organisation",
        error_messages={"required": "Enter the name of the organisation that will join."},
        widget=forms.TextInput(attrs={"aria-required": "true"}),
    )
    understood = forms.BooleanField(label="I've read what will and won't leave our site.")

    def __init__(self, *args: Any, organisations: list[Organisation], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["organisation"]
        assert isinstance(field, forms.ChoiceField)
        own = [(one.pk, one.name) for one in organisations]
        if not own:
            del self.fields["organisation"]
        elif len(own) == 1:
            field.choices = [*own, (NEW_ORGANISATION, "A new organisation")]
        else:
            field.choices = [("", "Choose"), *own, (NEW_ORGANISATION, "A new organisation")]

    @property
    def joins_new(self) -> bool:
        """Whether the person registers an organisation with the answer."""
        return bool(self.cleaned_data.get("organisation", NEW_ORGANISATION) == NEW_ORGANISATION)

    def clean(self) -> dict[str, Any]:
        """What stands in the name counts for a new organisation only."""
        data = super().clean() or {}
        if "organisation" in self.fields and data.get("organisation") != NEW_ORGANISATION:
            self.errors.pop("name", None)
        return data
