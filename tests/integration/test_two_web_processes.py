"""Two web processes of one hub, on one folder and one Redis: people come to the one, workers to the other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import httpx
import pytest
from websockets.sync.client import connect

from demo.launch.rest import Rest
from demo.launch.runs import approve_by_all, launch
from demo.launch.stage import Party, Stage
from processes.children import end_child, start_child
from processes.redis_server import free_port
from tests.integration.drills import PATIENCE, TRAINING, hub_variables, reach, records_of, reviewed
from tests.stack import Stack, wait_for
from webapp.core.management.commands.serve import commands

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Second:
    """The second process, and the demo's people as they reach the hub through it."""

    url: str
    stage: Stage

    def signed_in(self, party: Party) -> httpx.Client:
        """A browser's session."""
        http = httpx.Client(base_url=self.url, follow_redirects=True, timeout=30, trust_env=False)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', http.get("/accounts/login/").text)
        assert token is not None
        fields = {"login": party.email, "password": party.password, "csrfmiddlewaretoken": token[1]}
        http.post("/accounts/login/", data=fields, headers={"Referer": f"{self.url}/accounts/login/"})
        return http


@pytest.fixture(scope="module")
def second(stack: Stack) -> Iterator[Second]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    web = start_child(commands("127.0.0.1", port)["web"], env=hub_variables(stack))
    try:
        wait_for(lambda: httpx.get(f"{url}/health/alive", timeout=5).status_code == 200, what="the second process")
        parties = {key: replace(party, rest=Rest(url, token_of(party))) for key, party in stack.stage.parties.items()}
        yield Second(url, replace(stack.stage, parties=parties))
    finally:
        end_child(web)


def token_of(party: Party) -> str:
    return str(party.rest._http.headers["authorization"]).removeprefix("Bearer ")


def test_a_page_of_one_process_lives_on_what_workers_tell_the_other(stack: Stack, second: Second) -> None:
    run = launch(
        second.stage, name="Two processes", trains=("clinic", "bank"), training={**TRAINING, "steps": 6}, evaluate=False
    )
    # Workers' sockets are on the first process: verdicts and the start come by its doorbells, rung from the second.
    reviewed(second.stage, run)
    http = second.signed_in(second.stage.parties["clinic"])
    assert http.get(f"/runs/{run}").status_code == 200
    assert http.get(f"/runs/{run}", headers={"Accept": "text/html"}).status_code == 200
    cookie = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
    address = f"{second.url.replace('http', 'ws', 1)}/ws/runs/{run}/"
    seen: set[int] = set()
    with connect(address, additional_headers={"Cookie": cookie}, origin=second.url) as page:  # type: ignore[arg-type]
        page.send(json.dumps({"type": "since", "since": 0}))
        approve_by_all(second.stage, run)
        while (message := json.loads(page.recv(timeout=180)))["type"] != "ended":
            seen |= {record["seq"] for record in message.get("records", []) if "seq" in record}
    reach(stack.stage, run, "done", seconds=3 * PATIENCE)
    everything = {record["seq"] for record in records_of(stack.stage, run)}
    assert seen
    assert seen <= everything
    assert records_of(second.stage, run) == records_of(stack.stage, run)


def test_a_session_and_a_count_of_wrong_passwords_hold_at_both(stack: Stack, second: Second) -> None:
    party = second.stage.parties["bank"]
    http = second.signed_in(party)
    first = httpx.Client(base_url=stack.url, cookies=http.cookies, timeout=30, trust_env=False)
    assert first.get("/home").status_code == 200
    for tries, url in enumerate([stack.url, second.url] * 3):
        stranger = httpx.Client(base_url=url, timeout=30, trust_env=False)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', stranger.get("/accounts/login/").text)
        assert token is not None
        fields = {"login": "nobody@nowhere.example", "password": "wrong", "csrfmiddlewaretoken": token[1]}
        answer = stranger.post("/accounts/login/", data=fields, headers={"Referer": f"{url}/accounts/login/"})
        assert answer.status_code == (429 if tries >= 5 else 200), (tries, answer.text[:300])
