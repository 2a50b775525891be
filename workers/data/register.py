"""Tell the hub about a version: exactly the metadata that a person confirmed, now or as soon as the hub is back."""

from __future__ import annotations

from workers.data.store import DatasetStore, StoredDataset
from workers.hub import HubClient

_MARK = "registered"


def is_registered(stored: StoredDataset) -> bool:
    """Whether the hub has this version's metadata."""
    return (stored.folder / _MARK).exists()


def register(stored: StoredDataset, hub: HubClient) -> None:
    """Send the metadata. Raises HubError; the version stays and can be sent again."""
    hub.post("/datasets", stored.metadata)
    (stored.folder / _MARK).touch()


def register_pending(store: DatasetStore, hub: HubClient) -> int:
    """Send what an absent hub has not got yet; returns how many were sent."""
    pending = [stored for stored in store.versions() if not is_registered(stored)]
    for stored in pending:
        register(stored, hub)
    return len(pending)
