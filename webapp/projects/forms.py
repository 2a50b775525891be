"""Forms of projects."""

from __future__ import annotations

from django import forms

from webapp.core.name_field import NameField


class ProjectForm(forms.Form):
    """What a project says about itself: partners read it before they join."""

    name = NameField(max_length=120, min_length=2)
    goal = forms.CharField(
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 4}),
        label="Purpose",
        help_text="What the adapter is for. Invited organisations see this before they accept.",
    )
    lawful_basis = forms.CharField(
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        label="Lawful basis",
        help_text="The legal ground for using the text, in your data protection officer's words.",
    )
