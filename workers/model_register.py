"""Tell the hub which base models are here: at once, or as soon as it takes the worker's word."""

from __future__ import annotations

from workers.contracts import ModelRegistration
from workers.hub import HubClient, HubError
from workers.models_registry import ModelRegistry


def register(registry: ModelRegistry, registration: ModelRegistration, hub: HubClient, *, patience: float = 0) -> None:
    """Send one registration. Raises HubError; the model stays and is told later."""
    hub.post("/models", registration, patience=patience)
    registry.mark_told(registration, hub.hub_protocol)


def register_pending(registry: ModelRegistry, hub: HubClient) -> None:
    """Send what the hub has not got yet: it was away, or older, or the worker not confirmed. Raises HubError.

    A model that the hub refuses for good, or whose folder is gone, keeps no later one back.
    """
    for registration in registry.untold(hub.hub_protocol):
        try:
            register(registry, registration, hub)
        except HubError as error:
            if error.transient:
                raise
