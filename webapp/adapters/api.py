"""REST operations of `adapters`."""

from ninja import Router

router = Router(tags=["adapters"])
