"""What an audit says of membership. Torch-free."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from interface.formatting import human_share
from splitcore.attacks.measured import Count, Interval


class Membership(BaseModel):
    """auc: of a member scoring higher than another row. at_1, at_01: members found where 1 and 0.1 % of other rows are
    taken for members; None where these are fewer than a single row. members, others: how many rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    auc: Interval
    at_1: Interval | None
    at_01: Interval | None
    members: Count
    others: Count

    @property
    def words(self) -> str:
        """The figures, for people."""
        found = [
            f"With {share} of other rows taken for members, {human_share(at.value)} of members are found "
            f"({human_share(at.low)} to {human_share(at.high)})."
            for share, at in (("1 %", self.at_1), ("0.1 %", self.at_01))
            if at is not None
        ]
        few = "" if found else "Too few other rows to tell how many members are found at 1 %."
        return (
            f"By the adapter that this audit's training made, a row that was trained on scores higher than another one "
            f"in {human_share(self.auc.value)} of pairs ({human_share(self.auc.low)} to {human_share(self.auc.high)}; "
            f"a half is chance). {' '.join(found)}{few}"
        )
