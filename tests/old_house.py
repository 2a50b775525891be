"""The house that commit 75de9d2 left behind (tests/fixtures/of_75de9d2), moved to a folder and to free addresses."""

from __future__ import annotations

import json
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.launch.groups import BASE_MODEL, Groups
from demo.launch.rest import Rest
from processes.redis_server import free_port

FOLDER = Path(__file__).parent / "fixtures" / "of_75de9d2"
SITES = ("clinic", "bank", "compute")


@dataclass
class OldHouse:
    """Its folders, not started yet, and what its people know."""

    groups: Groups
    facts: dict[str, Any]

    def run(self, name: str) -> str:
        """The id of the run in that state: done, awaiting, draft or paused."""
        found: str = self.facts["runs"][name]
        return found

    def rest(self, key: str) -> Rest:
        """The API with the token that this person made in the old version."""
        return Rest(self.groups.hub_url, self.facts["tokens"][key])


def unpack(root: Path) -> OldHouse:
    """Unpack it; its people would have moved the folders, and changed the addresses in the same way."""
    with tarfile.open(FOLDER / "house.tar.xz") as archive:
        archive.extractall(root, filter="data")
    facts = json.loads((root / "facts.json").read_text())
    consoles = {key: ("127.0.0.1", free_port()) for key in SITES}
    groups = Groups(root=root, hub_port=free_port(), consoles=consoles, tensor_port=free_port())
    for key, (host, port) in consoles.items():
        home = groups.home(key)
        _change(home / "config.json", hub_url=groups.hub_url, console_host=host, console_port=port)
        _change(home / "config.json", tensor_ports=[groups.tensor_port] * 2)
        models = json.loads((home / "models.json").read_text())
        (home / "models.json").write_text(json.dumps([model | {"folder": str(BASE_MODEL)} for model in models]))
    with sqlite3.connect(root / "hub" / "hub.sqlite3") as database:  # tokens are good for a day: made anew, in a way
        database.execute("UPDATE accounts_apitoken SET expires_at = '2999-01-01'")
    return OldHouse(groups, facts)


def _change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@contextmanager
def old_house(root: Path) -> Iterator[OldHouse]:
    """Whatever was started in it is ended at the end of the block."""
    house = unpack(root)
    try:
        yield house
    finally:
        house.groups.end()
