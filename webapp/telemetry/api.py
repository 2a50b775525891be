"""REST operations of `telemetry`."""

from ninja import Router

router = Router(tags=["telemetry"])
