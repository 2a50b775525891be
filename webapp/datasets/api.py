"""REST operations of `datasets`."""

from ninja import Router

router = Router(tags=["datasets"])
