"""What a worker takes from whoever answers as its hub: paths below the API, bounded bodies, codes and no sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from splitcore.errors import AppError
from workers.contracts import API_PREFIX, Claim, ClaimReply
from workers.hub import HubClient, HubError
from workers.settings import WorkerHome
from workers.tests.support import Answer, FakeHub, assignment_for, contract_for, enrolled_home, fake_hub

SECRET = "the inner service says: password=hunter2"


@dataclass
class Answering(FakeHub):
    """Answers everything with one thing, and counts."""

    reply: Answer = (200, {})
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def answer(self, method: str, path: str, body: Any) -> Answer:
        """The one reply."""
        self.asked.append(path)
        return self.reply


@pytest.fixture
def hub() -> Iterator[Answering]:
    with fake_hub(Answering()) as found:
        assert isinstance(found, Answering)
        yield found


@pytest.fixture
def client(hub: Answering, tmp_path: Path) -> Iterator[HubClient]:
    made = HubClient.of(enrolled_home(tmp_path / "home", hub.url))
    yield made
    made.close()


@pytest.mark.parametrize(
    "path",
    [
        "http://127.0.0.1:9/inner",
        "//127.0.0.1:9/inner",
        f"{API_PREFIX}/../../admin",
        f"{API_PREFIX}/runs//inner",
        f"{API_PREFIX}/runs/%2e%2e/x",
        f"{API_PREFIX}@127.0.0.1:9/x",
        f"{API_PREFIX}/a\\r\\nHost: x",
        "/health",
        "",
    ],
)
def test_only_paths_below_the_hubs_api_are_fetched(
    client: HubClient, hub: Answering, path: str, tmp_path: Path
) -> None:
    with pytest.raises(AppError) as caught:
        client.download(path, tmp_path / "file", most_bytes=100)
    assert caught.value.code == "CL-1436"
    assert hub.asked == []


def test_a_file_ends_at_its_bound(client: HubClient, hub: Answering, tmp_path: Path) -> None:
    hub.reply = (200, {"x": "y" * 100_000})
    with pytest.raises(AppError) as caught:
        client.download(f"{API_PREFIX}/runs/run_1/adapters/adp_1", tmp_path / "file", most_bytes=1000)
    assert caught.value.code == "CL-1436"


@pytest.mark.parametrize("status", [400, 403, 500, 502])
def test_a_foreign_message_is_never_repeated(client: HubClient, hub: Answering, status: int, tmp_path: Path) -> None:
    for code in ("CL-1404", "CL-7777", "inner"):
        hub.reply = (status, {"code": code, "message": SECRET, "remedy": SECRET, "details": {"a": SECRET}})
        for fetch in (
            lambda: client.post("/leave", Claim(participant_id="p", contract_hash="ab" * 32, job_id="j")),
            lambda: client.download(f"{API_PREFIX}/runs/x", tmp_path / "file", most_bytes=9),
        ):
            with pytest.raises(HubError) as caught:
                fetch()
            assert "hunter2" not in json.dumps(caught.value.to_dict())


def test_a_newer_hub_may_tell_more_than_this_worker_knows(client: HubClient, hub: Answering) -> None:
    claim = Claim(participant_id="p", contract_hash="ab" * 32, job_id="j")
    hub.reply = (200, {"attempt": 3, "desired": "running", "news": {"of": "tomorrow"}})
    assert client.call("POST", "/runs/run_1/claim", claim, reply=ClaimReply).attempt == 3
    hub.reply = (200, {"assignments": [], "hub_time": "2026-01-01T00:00:00Z", "settled": [], "news": 1})
    assert client.assignments().assignments == []


def test_an_entry_that_cannot_be_read_hides_none_of_the_others(
    client: HubClient, hub: Answering, tmp_path: Path
) -> None:
    good = assignment_for(contract_for(WorkerHome(tmp_path / "home"))).model_dump(mode="json")
    bad = {**good, "participant_id": "prt_2", "client_attempts": {"alpha": 2**31}}
    entries = [bad, good, {**good, "kind": "unheard_of", "participant_id": 7}, "nothing"]
    hub.reply = (200, {"assignments": entries, "hub_time": "2026-01-01T00:00:00Z"})
    wanted = client.assignments()
    assert [item.participant_id for item in wanted.assignments] == ["prt_1"]
    assert wanted.unread == ["prt_2"]
    hub.reply = (200, {"assignments": {}, "hub_time": "2026-01-01T00:00:00Z"})
    with pytest.raises(HubError) as caught:
        client.assignments()
    assert caught.value.code == "CL-1407"
