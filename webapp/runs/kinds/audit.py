"""`audit`: a data party measures on its own worker what its rows would leak in this run."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from webapp.runs.kinds.kind import HubKind
from webapp.runs.models import RunState
from webapp.runs.states import TRAINS

AUDIT = "audit"


class Audit(HubKind):
    """It begins when its worker has a slot beside training, and its end moves nothing of the run."""

    name: ClassVar[str] = AUDIT
    wanted_in: ClassVar[Collection[RunState]] = TRAINS | {RunState.FINISHING, RunState.DONE}
