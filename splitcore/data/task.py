"""What a model learns of a row: to go on with a text, or to tell its label (torch-free)."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from splitcore.bounds import is_visible
from splitcore.fields import Strategy, ui

LABELS_MOST, LABEL_LETTERS = 100, 60
# One plain line. A comma parts labels in a form, and a spreadsheet takes what starts with =, +, - or @ for a formula.
_NEVER = r",\x00-\x1f\x7f-\x9f\u2028\u2029"
LABEL = rf"^[^\s=+\-@{_NEVER}]([^{_NEVER}]*[^\s{_NEVER}])?$"


def is_label(name: str) -> bool:
    """Whether a label may have this name."""
    return len(name) <= LABEL_LETTERS and re.fullmatch(LABEL, name) is not None and is_visible(name)


def _visible(name: str) -> str:
    if not is_visible(name):
        raise ValueError("A label's name has a character that can't be seen.")
    return name


LabelName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=LABEL_LETTERS, pattern=LABEL),
    AfterValidator(_visible),
]


class Task(Strategy):
    """What is learnt of a row."""

    needs_labels: ClassVar[bool] = False

    @property
    def classes(self) -> int:
        """How many labels the model tells apart; 0 where it predicts tokens."""
        return 0


class TextTask(Task):
    """Go on with a text: completions, conversations or plain text."""

    name: Literal["text"] = "text"


class SequenceTask(Task):
    """Tell each row's label, with a classification head that is trained with the adapter."""

    name: Literal["sequence"] = "sequence"
    needs_labels: ClassVar[bool] = True
    labels: list[LabelName] = Field(
        [],
        max_length=LABELS_MOST,
        description="The labels to tell apart, separated by commas. All organisations' rows have labels of this list.",
        json_schema_extra=ui(label="Labels"),
    )

    @model_validator(mode="after")
    def labels_can_be_told_apart(self) -> SequenceTask:
        """Two labels or more, none twice."""
        if len(self.labels) < 2:
            raise ValueError("Name at least two labels.")
        twice = sorted({label for label in self.labels if self.labels.count(label) > 1})
        if twice:
            raise ValueError(f"The label {twice[0]} appears twice.")
        return self

    @property
    def classes(self) -> int:
        """See `Task.classes`."""
        return len(self.labels)


TASKS: list[type[Task]] = [TextTask, SequenceTask]
