"""How many adapters of a contract are checked at a site: each costs time, and may tell something of its rows."""

from __future__ import annotations

from splitcore.errors import AppError
from workers.contracts import Role
from workers.jobs.setting import JobSetting
from workers.outbox.measurements import Measurements

TIMES = 3  # a contract's adapters are checked so often: a run that fails in its last phase and is resumed has others


def take_place(setting: JobSetting) -> None:
    """A place for the adapter among those that this site checks: the contract's own, and no others.

    A run that failed in its last phase and was resumed has other bytes than before. Raises AppError CL-1428.
    """
    assignment = setting.spec.assignment
    if not Measurements(setting.home.spool_file).may_measure(
        contract_hash=assignment.contract_hash,
        party=setting.own.party,
        adapter_sha256=assignment.adapter_sha256,
        limit=TIMES * adapters_of(setting),
    ):
        raise AppError("CL-1428")


def adapters_of(setting: JobSetting) -> int:
    """How many adapters the contract gives this party to check: one, or one per client that keeps its own end."""
    clients = len(setting.clients)
    own_ends = setting.config.schedule.exchange(clients).own_ends
    return clients if own_ends and setting.own.role is not Role.CLIENT else 1
