"""A leakage audit: what is asked for, and the figures that come back. No text of a row has room in them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from splitcore.audit.portfolio import Size
from splitcore.audit.result import AuditResult
from workers.contracts.base import Message, Since
from workers.contracts.participation import Exit

AUDIT_SINCE = 8  # the version of the protocol in which figures came to have today's form; 7 had an earlier one


class AuditSpec(Message):
    """Which portfolio attacks the party's rows; the seed draws the rows, under a key that only their site has."""

    size: Size
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class AuditEnd(Exit):
    """How an audit ended, and what it found."""

    audit: Annotated[AuditResult | None, Since(AUDIT_SINCE)] = None
