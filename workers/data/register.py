"""Tell the hub about a version: exactly the metadata that a person confirmed, now or as soon as the hub is back."""

from __future__ import annotations

from workers.data.store import DatasetStore, StoredDataset
from workers.hub import HubClient, HubError

_MARK = "registered"


def is_registered(stored: StoredDataset) -> bool:
    """Whether the hub has this version's metadata."""
    return (stored.folder / _MARK).exists()


def register(stored: StoredDataset, hub: HubClient) -> None:
    """Send the metadata. Raises HubError; the version stays and can be sent again."""
    hub.post("/datasets", stored.metadata)
    (stored.folder / _MARK).touch()


def register_pending(store: DatasetStore, hub: HubClient) -> int:
    """Send what an absent hub has not got yet; returns how many were sent.

    A version that the hub refuses for good keeps no later one back. Raises HubError: the hub's absence at once, the
    first refusal at the end.
    """
    sent, refusal = 0, None
    for stored in [stored for stored in store.versions() if not is_registered(stored)]:
        try:
            register(stored, hub)
            sent += 1
        except HubError as error:
            if error.transient:
                raise
            refusal = refusal or error
    if refusal is not None:
        raise refusal
    return sent
