"""The base of every section: frozen, complete, and helpful about a misspelt key."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """A group of fields. Unknown keys are errors that name the nearest field."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True, protected_namespaces=()
    )

    @model_validator(mode="before")
    @classmethod
    def suggest_for_unknown_keys(cls, data: Any) -> Any:
        """Turn `extra_forbidden` into a sentence with a suggestion."""
        if not isinstance(data, dict):
            return data
        for key in data:
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), list(cls.model_fields), n=1, cutoff=0.5)
                hint = f" Did you mean '{near[0]}'?" if near else f" Known keys: {', '.join(cls.model_fields)}."
                raise ValueError(f"Unknown key '{key}'.{hint}")
        return data


def ui(*, unit: str = "", level: str = "simple", label: str = "", why: str = "") -> dict[str, Any]:
    """What a form needs beside type, bounds and help: unit, level (simple|advanced), label, and a consequence."""
    return {"unit": unit, "level": level, "label": label, "why": why}
