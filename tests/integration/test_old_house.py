"""A database, worker homes and a paused run of commit 75de9d2: they migrate, open and go on, and nothing is lost."""

from __future__ import annotations

import functools
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.launch.groups import BASE_MODEL
from splitcore.planning.measure import measure_folder
from tests.old_house import SITES, OldHouse, old_house
from tests.stack import wait_for
from workers.console.tests.conftest import Visitor
from workers.data.store import DatasetStore
from workers.outbox.spool import Spool
from workers.policy_review import Site
from workers.settings import WorkerConfig, WorkerHome
from workers.trust import TrustBook

pytestmark = pytest.mark.integration
PAGES = ("", "/approvals", "/config", "/privacy", "/logs", "/artefacts", "/live")
CONSOLE = ("/", "/datasets", "/ledger", "/policy", "/decisions", "/logs")
# Tables of the hub, and what names a row of each.
KEPT = {
    "runs_run": "id",
    "runs_participant": "id",
    "runs_approval": "id",
    "adapters_adapter": "id",
    "telemetry_record": "id",
    "audit_auditentry": "sequence",
}
IN_THE_RUN = ("clinic", "compute")  # the bank's worker stays off: each one that runs costs as much as the run
OVER = ("done", "failed", "stopped")
STEPS = 12  # of the run that was paused
Rows = dict[str, set[Any]]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OldHouse]:
    with old_house(tmp_path_factory.mktemp("old")) as unpacked:
        unpacked.groups.hub_options["CUTLAYER_BEAT_SECONDS"] = "2"
        yield unpacked


def query(path: Path, question: str, *values: Any) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        return database.execute(question, values).fetchall()


def rows_of(house: OldHouse) -> Rows:
    """The names of all that the hub keeps of its runs, by table."""
    database = house.groups.root / "hub" / "hub.sqlite3"
    return {
        table: {row[0] for row in query(database, f'SELECT "{name}" FROM "{table}"')} for table, name in KEPT.items()
    }


def unsent(house: OldHouse) -> int:
    """What the workers' spools still have to say."""
    spools = [house.groups.home(key) / "spool.sqlite3" for key in IN_THE_RUN]
    return sum(query(spool, "SELECT count(*) FROM outbox WHERE sent_at IS NULL")[0][0] for spool in spools)


def browser_of(house: OldHouse, key: str) -> httpx.Client:
    """A browser in which that organisation's person has signed in with the old password."""
    http = httpx.Client(base_url=house.groups.hub_url, follow_redirects=True, timeout=30, trust_env=False)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', http.get("/accounts/login/").text)
    assert token is not None
    person = house.facts["people"][key]
    fields = {"login": person["email"], "password": person["password"], "csrfmiddlewaretoken": token[1]}
    http.post("/accounts/login/", data=fields, headers={"Referer": f"{house.groups.hub_url}/accounts/login/"})
    return http


def steps_told(house: OldHouse) -> dict[str, list[int]]:
    """The steps of the paused run that each part has told, in order."""
    told: dict[str, list[int]] = {}
    question = "SELECT participant_id, step FROM telemetry_record WHERE kind = 'metric' AND run_id = ? ORDER BY step"
    for part, step in query(house.groups.root / "hub" / "hub.sqlite3", question, house.run("paused")):
        told.setdefault(part, []).append(step)
    return told


def state_of(house: OldHouse, name: str) -> str:
    """A run's state, read in the hub's database: to ask the hub again and again would cost more than the run."""
    database = house.groups.root / "hub" / "hub.sqlite3"
    return str(query(database, "SELECT state FROM runs_run WHERE id = ?", house.run(name))[0][0])


def verdict_of(house: OldHouse, key: str) -> dict[str, Any]:
    """What a site's worker says of the contract that waits for its approvals."""
    question = "SELECT policy_verdict FROM runs_participant WHERE run_id = ? AND worker_id = ?"
    database, worker = house.groups.root / "hub" / "hub.sqlite3", house.facts["workers"][key]
    found: dict[str, Any] = json.loads(query(database, question, house.run("awaiting"), worker)[0][0])
    return found


def test_every_file_of_an_old_home_is_read(house: OldHouse) -> None:
    home = WorkerHome(house.groups.home("bank"))
    site = Site.load(home, WorkerConfig.load(home))
    assert site.policy.peer_trust == "first_use"
    assert site.trust.compute == [], "whom the hub alone had named gets no rows any more"
    [stored] = DatasetStore(home.root).versions()
    assert site.dataset_of(stored.metadata.digest) == [("bank-records", 1)]
    assert Spool(home.spool_file).jobs(), "its finished job"


def test_old_hub_and_workers_open_and_the_paused_run_ends_with_a_verified_adapter(house: OldHouse) -> None:
    before = rows_of(house)
    assert unsent(house) > 0, "the workers had something to say when their hub was gone"
    house.groups.start_hub()
    _the_hub_has_kept_everything(house, before)
    _every_page_opens(house)
    for key in IN_THE_RUN:
        house.groups.start_worker(key)
    _what_waited_is_told(house)
    _old_models_are_measured(house)
    _a_site_lists_its_compute_worker_first(house)
    _sites_say_who_approves(house)
    _the_run_goes_on(house)
    assert all(before[table] <= rows for table, rows in rows_of(house).items()), "nothing is lost"
    assert house.rest("clinic").get("/audit/verify")["ok"]


def _the_hub_has_kept_everything(house: OldHouse, before: Rows) -> None:
    rest = house.rest("clinic")
    assert all(before[table] <= rows for table, rows in rows_of(house).items())
    states = {name: rest.get(f"/runs/{run_id}")["state"] for name, run_id in house.facts["runs"].items()}
    assert states == {"done": "done", "awaiting": "awaiting_approval", "draft": "draft", "paused": "paused"}
    [adapter] = [one for one in rest.get("/adapters")["items"] if one["run"] == house.run("done")]
    target = house.groups.root / "adapter.zip"
    rest.download(f"/adapters/{adapter['id']}/download", target)
    assert target.stat().st_size > 0
    assert rest.get("/audit/verify")["ok"]


def _every_page_opens(house: OldHouse) -> None:
    for key in SITES:
        with closing(browser_of(house, key)) as browser:
            paths = [f"/runs/{house.run('paused')}{page}" for page in PAGES]
            if key == "clinic":
                paths += [f"/runs/{house.run('done')}{page}" for page in PAGES]
                paths += [f"/runs/{house.run('awaiting')}/approvals", f"/runs/{house.run('draft')}/edit"]
                paths += ["/datasets", "/audit", f"/projects/{house.facts['project']}"]
            paths += [f"/workers/{house.facts['workers'][key]}"]
            answers = {path: browser.get(path) for path in paths}
        drawn = {
            path for path, answer in answers.items() if answer.status_code == 200 and "/login" not in str(answer.url)
        }
        assert drawn == set(paths), {path: answers[path].status_code for path in set(paths) - drawn}


def _what_waited_is_told(house: OldHouse) -> None:
    wait_for(lambda: unsent(house) == 0, seconds=60, what="the records of the time without a hub")
    visitor = Visitor(house.groups.console_url("clinic"))
    pin = (house.groups.home("clinic") / "keys" / "console.pin").read_text().strip()
    assert visitor.unlock(pin).status_code < 400
    assert {path: visitor.http.get(path).status_code for path in CONSOLE} == dict.fromkeys(CONSOLE, 200)


def _old_models_are_measured(house: OldHouse) -> None:
    """Models that were registered before layouts were measured: each worker measures its own and tells the hub."""
    measured = measure_folder(BASE_MODEL).model_dump(mode="json")
    database = house.groups.root / "hub" / "hub.sqlite3"
    question = "SELECT shape FROM fleet_workermodel WHERE worker_id = ?"

    def told() -> list[Any]:
        found = [query(database, question, house.facts["workers"][key])[0][0] for key in IN_THE_RUN]
        return [shape and json.loads(shape) for shape in found]

    wait_for(lambda: all(told()), seconds=120, what="the layouts of the base model")
    assert told() == [measured, measured]


def _a_site_lists_its_compute_worker_first(house: OldHouse) -> None:
    """An old site trusted whom the hub named; a new one names the compute worker itself, and says so by a code."""
    compute = WorkerConfig.load(WorkerHome(house.groups.home("compute"))).enrolment.fingerprint
    wait_for(lambda: not verdict_of(house, "clinic")["accepted"], what="the refusal of the clinic's worker")
    refusal, waits = verdict_of(house, "clinic")["refusals"]
    assert "CL-1426" in waits["message"], "its policy does not say who approves, as if it had been cut off"
    assert refusal["field"] == "participants.fingerprint"
    assert "CL-1423" in refusal["message"]
    assert f"cutlayer worker trust {compute} --as compute" in refusal["message"]
    with TrustBook.changing(WorkerHome(house.groups.home("clinic"))) as book:
        book.add(compute, "compute")


def _sites_say_who_approves(house: OldHouse) -> None:
    """One writes it into its policy, as every site may; at the other, people approve the contract."""
    with (house.groups.home("compute") / "policy.yaml").open("a") as policy:
        policy.write('approve: "hub"\n')
    wait_for(lambda: len(verdict_of(house, "clinic")["refusals"]) == 1, what="the clinic's trust")
    for name in ("paused", "awaiting"):
        digest = house.rest("clinic").get(f"/runs/{house.run(name)}")["contract_hash"]
        house.groups.command("clinic", "worker", "approve", digest)
    for key in IN_THE_RUN:
        wait_for(functools.partial(_accepts, house, key), what=f"the consent of {key}'s worker")


def _accepts(house: OldHouse, key: str) -> bool:
    return bool(verdict_of(house, key)["accepted"])


def _the_run_goes_on(house: OldHouse) -> None:
    rest, held = house.rest("clinic"), steps_told(house)
    assert rest.post(f"/runs/{house.run('paused')}/resume")["state"] == "recovering"
    wait_for(lambda: state_of(house, "paused") in OVER, seconds=240, what="the end of the run")
    run = rest.get(f"/runs/{house.run('paused')}")
    assert run["state"] == "done", run["failure"]
    assert {part["step"] for part in run["participants"]} == {STEPS}
    assert {part["attempt"] for part in run["participants"]} == {2}
    every = list(range(1, STEPS + 1))
    assert steps_told(house) == dict.fromkeys(held, every), (
        "it went on from its checkpoints: no step was lost or repeated"
    )
    assert all(0 < len(steps) < STEPS and steps == every[: len(steps)] for steps in held.values())
    [adapter] = [one for one in rest.get("/adapters")["items"] if one["run"] == run["id"]]
    assert adapter["state"] == "ready"
    told = {(check["status"], check["code"]) for check in adapter["checks"]}
    assert told == {("ok", ""), ("warning", "CL-1435")}, adapter["checks"]  # so few rows may not be measured any more
