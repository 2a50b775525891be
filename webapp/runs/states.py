"""Groups of a run's states. Which move is possible, and what it does, stands in `life/transitions.py`."""

from __future__ import annotations

from webapp.runs.models import RunState

S = RunState
REVIEWED = frozenset({S.AWAITING, S.APPROVED})  # there is a contract, and nothing runs under it
EDITABLE = frozenset({S.DRAFT, S.AWAITING, S.APPROVED, S.DECLINED})
TRAINS = frozenset({S.STARTING, S.TRAINING, S.RECOVERING, S.PAUSED})  # the halves are wanted
LIVE = TRAINS | {S.FINISHING, S.STOPPING}
ENDED = frozenset({S.DONE, S.FAILED, S.STOPPED})
