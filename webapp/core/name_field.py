"""The field of a form for a name that others read."""

from __future__ import annotations

from typing import Any

from django import forms

from splitcore.bounds import visible_line
from splitcore.errors import AppError
from webapp.core.names import name_check


class NameField(forms.CharField):
    """Takes the characters out that show nothing before it is asked whether a name is left."""

    def to_python(self, value: Any) -> str:
        """The name as it is shown; too long a one is left whole, for the form to say so."""
        text = super().to_python(value) or ""
        return visible_line(text, len(text))


class PersonNameField(NameField):
    """A person's name: others trust it, so it looks like no one else's word."""

    def clean(self, value: Any) -> str:
        """The name, if it is nobody's in disguise."""
        name: str = super().clean(value)
        try:
            name_check(name)
        except AppError as error:
            raise forms.ValidationError(str(error), code=error.code) from None
        return name
