"""Forms of the fleet's pages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import RegexValidator

from webapp.orgs.models import PartyKind

_name = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9 _.\-]{0,59}$",
    "Use letters, digits, spaces, dots and dashes. Start with a letter or digit.",
)
_LABELS_MAX = 8
_LABEL_MAX = 30


class LabelsField(forms.CharField):
    """Labels, separated by commas."""

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        """The labels without repetition."""
        words = [" ".join(word.split()) for word in str(value or "").split(",")]
        return list(dict.fromkeys(word for word in words if word))

    def validate(self, value: Any) -> None:
        """Not too many, not too long."""
        if len(value) > _LABELS_MAX or any(len(word) > _LABEL_MAX for word in value):
            raise forms.ValidationError(f"At most {_LABELS_MAX} labels with up to {_LABEL_MAX} characters each.")

    def run_validators(self, value: Any) -> None:
        """The text's own validators do not apply to a list."""

    def prepare_value(self, value: Any) -> Any:
        """Back to the text that was typed."""
        return ", ".join(value) if isinstance(value, list) else value


class EnrolForm(forms.Form):
    """What the new worker is called and brings."""

    name = forms.CharField(
        label="Name",
        max_length=60,
        validators=[_name],
        help_text="The name people here use for the machine, for example ward-3-gpu.",
    )
    kind = forms.ChoiceField(
        label="Kind",
        choices=PartyKind.choices,
        help_text="A data worker holds datasets, a compute worker runs the middle of the model.",
    )
    labels = LabelsField(label="Labels", required=False, help_text="Separated by commas, for example: gpu, building 3.")


class WorkerForm(forms.Form):
    """Name and labels of an enrolled worker."""

    name = forms.CharField(label="Name", max_length=60, validators=[_name])
    labels = LabelsField(label="Labels", required=False, help_text="Separated by commas.")
