"""REST operations of `projects`."""

from ninja import Router

router = Router(tags=["projects"])
