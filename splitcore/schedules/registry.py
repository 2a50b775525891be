"""Every schedule. Torch-free."""

from __future__ import annotations

from splitcore.schedules.interface import Schedule
from splitcore.schedules.parallel.config import Parallel
from splitcore.schedules.personalised.config import Personalised
from splitcore.schedules.sequential.config import Sequential
from splitcore.schedules.splitfed_v1.config import SplitFedV1
from splitcore.schedules.splitfed_v3.config import SplitFedV3

SCHEDULES: list[type[Schedule]] = [Parallel, Sequential, SplitFedV1, SplitFedV3, Personalised]
