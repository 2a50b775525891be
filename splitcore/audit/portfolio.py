"""Which attacks an audit runs, fixed in a file before any run is audited. Torch-free.

The figure of an audit is the best of its attacks, so that none may be chosen after the fact.
"""

from __future__ import annotations

from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import Field

from splitcore.attacks.choice import AttackChoice
from splitcore.attacks.registry import ATTACKS
from splitcore.fields import OneOf, Section
from splitcore.plain_yaml import yaml_read

Size = Literal["quick", "full"]
Chosen = Annotated[AttackChoice, OneOf(ATTACKS, kind="attack")]


class Portfolio(Section):
    """The attacks, and on how much they run.

    size: its name. records: of the party's rows that are attacked, at most. least_records, least_tokens: below either,
    nothing is measured. auxiliary: of the remaining rows that the observer is assumed to have, at most.
    known: more of the party's rows whose text the observer knows, at most. control_records: attacked without a defence.
    outsiders: more rows that weren't trained on, whose scores are compared with those of rows that were.
    upload_records: rows in a training of its own with a second organisation, whose uploads are attacked.
    epochs: times that each record crosses. seeds: repetitions of attacks that draw.
    """

    size: Size
    version: int = Field(ge=1)
    records: int = Field(ge=2)
    least_records: int = Field(ge=2)
    least_tokens: int = Field(ge=1)
    auxiliary: int = Field(ge=0)
    known: int = Field(0, ge=0)
    control_records: int = Field(ge=2)
    outsiders: int = Field(100, ge=0)
    upload_records: int = Field(24, ge=4)
    epochs: int = Field(ge=1)
    seeds: int = Field(ge=1)
    attacks: list[Chosen] = Field(min_length=1)


def portfolio(size: Size) -> Portfolio:
    """The committed portfolio of this size."""
    file = resources.files("splitcore.audit") / "portfolios" / f"{size}.yaml"
    data: Any = yaml_read(file.read_text(encoding="utf-8"))
    return Portfolio.model_validate({"size": size, **data})
