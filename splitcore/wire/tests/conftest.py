"""What the tests of the real network share: a door that stands open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from splitcore.wire.tests.doors import open_door
from splitcore.wire.transport.grpc_listener import GrpcListener


@pytest.fixture
def listener() -> Iterator[GrpcListener]:
    """A door that lets the contract's one client in."""
    with open_door() as door:
        yield door
