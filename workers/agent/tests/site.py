"""What the tests of the agent do with a worker's folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from workers.agent.reconciler import Reconciler
from workers.contracts import API_PREFIX, Assignment, Assignments
from workers.hub import HubClient
from workers.jobs.folder import JobFolder
from workers.outbox.spool import Spool
from workers.settings import WorkerConfig, WorkerHome
from workers.tests.support import FakeHub, assignment_for, contract_for

JOB = "prt_1-train"


@dataclass
class Site:
    """A worker's folder, its hub, and the doorbells that were rung."""

    home: WorkerHome
    hub: FakeHub
    spool: Spool
    client: HubClient
    rung: list[tuple[str, str]] = field(default_factory=list)

    def reconciler(self) -> Reconciler:
        config = WorkerConfig.load(self.home)
        return Reconciler(self.home, config, self.spool, self.client, lambda *ids: self.rung.append(ids))

    def assignment(self, **changes: Any) -> Assignment:
        return assignment_for(contract_for(self.home), **changes)

    def check_of(self, adapter: str, *, sha256: str = "aa" * 32, **changes: Any) -> Assignment:
        """An evaluation of an adapter, as the hub asks for it."""
        url = f"{API_PREFIX}/runs/run_1/adapters/{adapter}?participant_id=prt_1"
        named = {"adapter_id": adapter, "adapter_sha256": sha256, "adapter_url": url}
        return self.assignment(kind="evaluate", **named, **changes)

    def folder(self, job: str = JOB) -> JobFolder:
        return JobFolder.of(self.home, "run_1", job)

    def exits(self) -> list[dict[str, Any]]:
        return self.sent("exit")

    def sent(self, kind: str) -> list[dict[str, Any]]:
        """What waits for the hub, of one kind."""
        return [json.loads(item.body) for item in self.spool.outbox() if item.kind == kind]


def listed(*assignments: Assignment) -> Assignments:
    """The hub's whole list."""
    return Assignments(assignments=list(assignments), hub_time=datetime.now(UTC))
