"""REST operations of `orgs`."""

from ninja import Router

router = Router(tags=["orgs"])
