"""A worker chosen for a run."""

from __future__ import annotations

from dataclasses import dataclass

from webapp.runs.models import ParticipantRole


@dataclass(frozen=True)
class PartyChoice:
    """One worker chosen for a run; a data party names its dataset version."""

    role: str
    worker_id: str
    dataset_version_id: str = ""
    receives_adapter: bool | None = None  # by default the data parties receive it, the compute worker does not

    @property
    def receives(self) -> bool:
        """Whether it receives the finished adapter."""
        return self.role != ParticipantRole.SERVER if self.receives_adapter is None else self.receives_adapter
