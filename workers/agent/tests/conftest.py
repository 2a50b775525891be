"""A worker's folder with its hub, for the tests of the agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.agent.tests.site import Site
from workers.hub import HubClient
from workers.outbox.spool import Spool
from workers.tests.support import enrolled_home, equip, fake_hub


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An enrolled data worker with the model and the dataset that `contract_for` names."""
    with fake_hub() as hub:
        home = enrolled_home(tmp_path / "home", hub.url)
        equip(home, model_folder=tmp_path)
        client = HubClient.of(home)
        yield Site(home, hub, Spool(home.spool_file), client)
        client.close()
