"""`audit`: a data party measures on its own worker what its rows would leak in this run."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

from webapp.runs.kinds.kind import HubKind
from webapp.runs.models import Participant, RunState
from webapp.runs.states import REVIEWED, TRAINS
from workers.contracts import Exit

AUDIT = "audit"


class Audit(HubKind):
    """It begins when its worker has a slot beside training, and its end moves nothing of the run.

    Before the run starts, it tells those who are to approve the contract what that would leak.
    """

    name: ClassVar[str] = AUDIT
    wanted_in: ClassVar[Collection[RunState]] = REVIEWED | TRAINS | {RunState.FINISHING, RunState.DONE}

    def kept(self, part: Participant, told: Exit) -> dict[str, Any]:
        """See `HubKind.kept`. With the contract that it is about: the run may be changed and submitted again."""
        return {**super().kept(part, told), "contract_hash": part.run.contract_hash}
