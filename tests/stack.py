"""The real system for tests: a hub as `manage.py serve` runs it, and sites that a test adds one by one."""

from __future__ import annotations

import email
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from demo.launch.groups import Groups, demo_groups
from demo.launch.stage import Stage, set_stage
from processes.children import end_child
from processes.redis_server import free_port

Found = TypeVar("Found")
HELDOUT_ROWS = 12  # of each dataset: measuring the demo's 128 was most of what a run of a few steps cost
LOOK_FIRST, LOOK_SLOWEST = 0.1, 0.4  # seconds between two looks: each one costs the hub what it looks at


def wait_for(look: Callable[[], Found | None], *, seconds: float = 60, what: str = "the condition") -> Found:
    """Ask again and again until there is an answer; an exception of `look` counts as "not yet"."""
    deadline, last, pause = time.monotonic() + seconds, "nothing", LOOK_FIRST
    while time.monotonic() < deadline:
        try:
            found = look()
        except Exception as error:
            found, last = None, repr(error)[:500]
        if found:
            return found
        time.sleep(pause)
        pause = min(1.2 * pause, LOOK_SLOWEST)
    raise AssertionError(f"{what} did not come within {seconds:.0f} s; last: {last}")


@dataclass
class Stack:
    """A running hub with its mail folder, the demo's three organisations with their workers, and added sites."""

    groups: Groups
    stage: Stage

    @property
    def url(self) -> str:
        """The hub's address."""
        return self.groups.hub_url

    def mails(self, to: str) -> list[str]:
        """Texts of the mails to an address, oldest first."""
        folder = self.groups.root / "hub" / "mail"
        texts = []
        for path in sorted(folder.glob("*"), key=lambda path: path.stat().st_mtime):
            for part in path.read_text().split("-" * 79):
                message = email.message_from_string(part.lstrip())
                if message["To"] == to:
                    payload = message.get_payload(decode=True)
                    texts.append(payload.decode() if isinstance(payload, bytes) else str(payload))
        return texts

    def link_in_mail(self, to: str, pattern: str) -> str:
        """The newest link to an address that fits a pattern."""

        def look() -> str | None:
            found = [link for text in self.mails(to) for link in re.findall(r"https?://\S+", text)]
            return next((link for link in reversed(found) if re.search(pattern, link)), None)

        return wait_for(look, what=f"a mail to {to} with {pattern}")

    def add_site(self, key: str) -> None:
        """Reserve a folder and a console address for a site."""
        self.groups.consoles[key] = ("127.0.0.1", free_port())

    def join(self, key: str, command: str) -> str:
        """Run the command that the enrolment page shows, at a site; returns what it printed."""
        words = command.split()
        assert words[0] == "cutlayer"
        host, port = self.groups.consoles[key]
        ports = f"{free_port()}-{free_port()}"
        first, last = sorted(int(number) for number in ports.split("-"))
        extra = ["--console-host", host, "--console-port", str(port), "--tensor-host", "127.0.0.1"]
        return self.groups.command(key, *words[1:], *extra, "--tensor-ports", f"{first}-{min(last, first + 50)}")

    def config_of(self, key: str) -> dict[str, Any]:
        """A site's config.json."""
        data: dict[str, Any] = json.loads((self.groups.home(key) / "config.json").read_text())
        return data

    def stop_site(self, key: str) -> None:
        """End a site's worker in order."""
        end_child(self.groups.children.pop(key), grace=15)


@contextmanager
def running_stack(root: Path) -> Iterator[Stack]:
    """The demo's hub and workers below `root`, ended with everything that was added to them."""
    with demo_groups(port=free_port(), root=root) as groups:
        groups.hub_options["CUTLAYER_BEAT_SECONDS"] = "2"  # silence is noticed after three beats
        groups.start_hub()
        yield Stack(groups, set_stage(groups, heldout_rows=HELDOUT_ROWS))
