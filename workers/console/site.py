"""The site that this console shows: its folder, its enrolment, its datasets and uploads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from django.conf import settings

from splitcore.errors import AppError
from workers.data.store import DatasetStore
from workers.data.uploads import UploadStore
from workers.settings import WorkerConfig, WorkerHome

conf: Any = settings  # the console's own settings, which the type checker does not know


@dataclass(frozen=True)
class Pinned:
    """What the console needs of the enrolment."""

    hub_url: str
    worker_id: str
    worker_name: str
    organisation_name: str
    fingerprint: str
    hub_public_key_pem: str


class Site:
    """Everything on disk, looked up when asked for (an enrolment may come while the console runs)."""

    @cached_property
    def home(self) -> WorkerHome:
        """The worker's folder."""
        return WorkerHome(Path(conf.HOME))

    @property
    def enrolment(self) -> Pinned | None:
        """The enrolment, or none yet."""
        try:
            config = WorkerConfig.load(self.home)
        except AppError:
            return None
        reply = config.enrolment
        return Pinned(
            config.hub_url,
            reply.worker_id,
            reply.worker_name,
            reply.organisation_name,
            reply.fingerprint,
            reply.hub_public_key_pem,
        )

    @cached_property
    def datasets(self) -> DatasetStore:
        """Versions and staged datasets."""
        return DatasetStore(self.home.root)

    @cached_property
    def uploads(self) -> UploadStore:
        """Uploads under way."""
        return UploadStore(self.home.root / "uploads", quota_bytes=conf.DATASET_QUOTA_BYTES)


_site = Site()


def site() -> Site:
    """The one site of this process."""
    return _site
