"""How much of the text was read, as figures. Torch-free."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=1 << 40)]


class Interval(BaseModel):
    """A share with its 95 % interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Share
    low: Share
    high: Share


class Figures(BaseModel):
    """What was read of the tokens that count; each is a share.

    tokens: at their place; of uploads, which have none, the F1 of the sets of tokens (ROUGE-1). rare: the same of
    tokens that are not common ones. exact: records that were read whole.
    worst: tokens of the 1 % of records of which most was read; None where they are too few to tell. rouge_l: F1 of the
    longest common subsequence.
    records, counted: how many records and tokens these are shares of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: Interval
    rare: Interval | None
    exact: Share
    worst: Share | None
    rouge_l: Share
    records: Count
    counted: Count
