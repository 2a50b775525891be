"""Where the demo's groups listen."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from demo.launch.groups import WORKERS, DemoError, demo_groups


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 without set-up")
def test_no_console_shares_its_address_with_the_hub_or_another_console(tmp_path: Path) -> None:
    """Browsers send a cookie to every port of its host."""
    with demo_groups(port=0, root=tmp_path / "demo") as groups:
        hosts = {key: host for key, (host, _) in groups.consoles.items()}
        assert set(hosts) == set(WORKERS)
        assert len(set(hosts.values())) == len(WORKERS)
        assert not any(f"//{host}:" in groups.hub_url for host in hosts.values())


def test_a_second_demo_in_the_folder_of_one_that_runs_is_refused_and_touches_nothing(tmp_path: Path) -> None:
    with demo_groups(port=0, root=tmp_path / "demo") as groups:
        (groups.root / "kept").touch()
        with (
            pytest.raises(DemoError, match=rf"(?s)process {os.getpid()}.*--folder"),
            demo_groups(port=0, root=tmp_path / "demo"),
        ):
            pass
        assert (groups.root / "kept").exists()
    with demo_groups(port=0, root=tmp_path / "demo"):
        pass


def test_a_new_demo_starts_from_nothing_and_keeps_what_the_last_one_left(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    for number in range(3):
        with demo_groups(port=0, root=root):
            assert not list(root.iterdir())
            (root / "note").write_text(str(number))
    assert (root / "note").read_text() == "2"
    assert (tmp_path / "demo.previous" / "note").read_text() == "1"
