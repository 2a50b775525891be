"""REST operations of `fleet`."""

from ninja import Router

router = Router(tags=["fleet"])
