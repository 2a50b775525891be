"""Recorded messages of older versions: today's hub answers them, today's worker reads and writes them, or both refuse.

`tests/fixtures` has what workers and hub of commit 75de9d2 (version 2 of the protocol) and of the release 0.1.0
(version 1, which is served no more) said to each other.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from pydantic import BaseModel

from webapp.fleet.tests.factories import SigningWorker, give_key
from webapp.fleet.tests.sockets import Socket, worker_socket
from webapp.runs.tests.factories import World, approve, config, submit, verdict, world
from webapp.telemetry.models import Record
from workers import contracts as c
from workers.policy_review import read_contract
from workers.versions import message_form

FIXTURES = Path(__file__).parents[1] / "fixtures"
PARTIES = ("clinic", "compute")
OLDER = 2  # the version of the protocol of commit 75de9d2
Entry = dict[str, Any]

# By the last word of a path: what a worker sends there, and what the hub answers.
FORMS: dict[str, tuple[type[BaseModel] | None, type[BaseModel] | None]] = {
    "enrol": (c.EnrolRequest, c.EnrolReply),
    "models": (c.ModelRegistration, None),
    "datasets": (c.DatasetMetadata, None),
    "assignments": (None, c.Assignments),
    "verdict": (c.PolicyVerdict, None),
    "claim": (c.Claim, c.ClaimReply),
    "ready": (c.Ready, None),
    "telemetry": (c.TelemetryBatch, c.TelemetryReply),
    "exit": (c.Exit, None),
    "verified": (c.VerifyReport, None),
}
ON_THE_SOCKET: dict[str, type[BaseModel]] = {"hello": c.Hello, "beat": c.Beat, "wake": c.Wake}


def recorded(version: str, party: str) -> list[Entry]:
    """One message of each form, in order."""
    found: dict[str, list[Entry]] = json.loads((FIXTURES / f"of_{version}" / "messages.json").read_text())
    return found[party]


def word_of(entry: Entry) -> str:
    """What a request is for."""
    return str(entry["path"]).partition("?")[0].rsplit("/", 1)[1]


def is_file(entry: Entry) -> bool:
    return entry["way"] == "http" and (entry["method"] == "PUT" or "/adapters/" in entry["path"])


def same(written: Any, recorded: Any) -> bool:
    """Whether two messages say the same; moments may be written in two ways."""
    if isinstance(recorded, dict):
        return written.keys() == recorded.keys() and all(same(written[key], recorded[key]) for key in recorded)
    if isinstance(recorded, list):
        return len(written) == len(recorded) and all(map(same, written, recorded))
    return bool(written == recorded or (isinstance(recorded, str) and _moment(written) == _moment(recorded)))


def _moment(text: str) -> datetime | str:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return text


# ── the forms ──


def _as_read(written: dict[str, Any], recorded: dict[str, Any]) -> dict[str, Any]:
    """Version 2 passed over the keys of a beat's lane that it did not know, and of nothing else."""
    if written.get("type") != "beat":
        return written
    lanes = zip(written["lanes"], recorded["lanes"], strict=True)
    return written | {"lanes": [{key: new[key] for key in old} for new, old in lanes]}


@pytest.mark.parametrize("party", PARTIES)
def test_todays_worker_writes_what_an_older_hub_took_and_todays_hub_what_an_older_worker_took(party: str) -> None:
    walked = set()
    for entry in recorded("75de9d2", party):
        if entry["way"] == "socket":
            body = entry.get("sent") or entry["got"]
            pairs = [(ON_THE_SOCKET[body["type"]], body)]
            walked.add(body["type"])
        elif is_file(entry):
            continue
        else:
            sent, answered = FORMS[word_of(entry)]
            pairs = [(form, body) for form, body in ((sent, entry["body"]), (answered, entry["answer"])) if form]
            walked.add(word_of(entry))
        for form, body in pairs:
            written = _as_read(message_form(form.model_validate(body), OLDER), body)
            assert same(written, body), (form.__name__, written, body)
    missing = {*FORMS, *ON_THE_SOCKET} - walked
    assert missing == ({"datasets", "verified"} if party == "compute" else {"ready"})


@pytest.mark.parametrize("party", PARTIES)
def test_todays_worker_reads_the_contracts_of_an_older_hub(party: str) -> None:
    answers = [entry["answer"] for entry in recorded("75de9d2", party) if "answer" in entry]
    told = [item for answer in answers if answer and "assignments" in answer for item in answer["assignments"]]
    kinds = set()
    for item in told:
        assignment = c.Assignment.model_validate(item)
        contract, config = read_contract(assignment)
        assert contract.contract_version == 1
        assert config.model.manifest
        kinds.add(assignment.kind)
    assert {"review", "train"} <= kinds


# ── a hub of today ──


def signed(w: World, place: int) -> SigningWorker:
    """The worker at `place`, with a key; its requests tell no version, as those before version 3."""
    return give_key(w.workers[place])


class Replay:
    """Sends what an older worker sent, in the names of this world, and keeps what the hub answered."""

    def __init__(self, w: World, place: int, entries: list[Entry]) -> None:
        self.w, self.part, self.worker = w, w.part(place), signed(w, place)
        first = next(entry for entry in entries if entry["way"] == "http" and word_of(entry) == "claim")
        run_id = first["path"].split("/")[-2]
        self.names = {
            run_id: w.run.id,
            first["body"]["participant_id"]: self.part.id,
            first["body"]["contract_hash"]: w.fresh().contract_hash,
        }
        self.entries = [one for one in entries if one["way"] == "http" and f"/runs/{run_id}/" in one["path"]]
        self.attempt = self.records = 0

    def send(self, entry: Entry) -> tuple[int, dict[str, Any]]:
        """The hub's status and answer."""
        body = json.loads(self.named(json.dumps(entry["body"])))
        if "attempt" in body:
            body["attempt"] = self.attempt
        for record in body.get("records", []):  # those that are left out had numbers of their own
            self.records += 1
            record["seq"] = self.records
        path = self.named(entry["path"]).removeprefix(f"{c.API_PREFIX}/")
        answer = self.worker.post(path, body)
        told: dict[str, Any] = answer.json()
        self.attempt = told.get("attempt", self.attempt)
        return answer.status_code, told

    def named(self, text: str) -> str:
        """With this world's ids."""
        for old, new in self.names.items():
            text = text.replace(old, new)
        return text


@pytest.mark.django_db
@pytest.mark.parametrize(("party", "place"), [("clinic", 0), ("compute", 2)])
def test_todays_hub_takes_a_whole_part_of_an_older_worker(party: str, place: int) -> None:
    w = world()
    submit(w)
    for other in range(3):
        verdict(w, other, accepted=True)
    approve(w)
    replay = Replay(w, place, recorded("75de9d2", party))
    answers = []
    for entry in replay.entries:
        if not is_file(entry) and word_of(entry) not in ("verdict", "verified"):
            answers.append((word_of(entry), *replay.send(entry)))
            if answers[-1][0] == "exit":
                break
            recorded_answer = entry["answer"]
            assert answers[-1][2].keys() == recorded_answer.keys(), (
                "an older worker refuses a key that it does not know"
            )
    assert {status for _, status, _ in answers} == {200}, answers
    assert {"claim", "telemetry", "exit"} <= {word for word, _, _ in answers}
    assert Record.objects.filter(participant=replay.part, worker_seq__isnull=False).count() == replay.records > 10
    assert w.part(place).outcome == "done"


@pytest.mark.django_db
@pytest.mark.parametrize(("party", "place"), [("clinic", 0), ("compute", 2)])
def test_todays_hub_tells_an_older_worker_its_parts_in_the_form_that_it_knows(party: str, place: int) -> None:
    w = world(run_config=config(privacy={"sums": "plain"}))  # as every run was, before there were masks
    submit(w)
    worker = signed(w, place)
    [entry] = [
        entry
        for entry in recorded("75de9d2", party)
        if entry["way"] == "http"
        and [one["kind"] for one in (entry["answer"] or {}).get("assignments", [])] == ["review"]
    ][:1]
    told = worker.get("assignments").json()
    assert told.keys() == entry["answer"].keys()
    assert told["assignments"][0].keys() == entry["answer"]["assignments"][0].keys()
    contract = json.loads(told["assignments"][0]["contract"])
    assert contract["contract_version"] == 1, "the configuration says nothing newer"
    assert contract.keys() == json.loads(entry["answer"]["assignments"][0]["contract"]).keys()
    assert worker.post(f"runs/{w.run.id}/verdict", {
        "participant_id": w.part(place).id, "contract_hash": w.fresh().contract_hash, "accepted": True, "refusals": [],
    }).status_code == 200  # fmt: skip


async def settled(socket: Socket) -> None:
    """Until the hub has read what was sent."""
    await socket.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_todays_hub_takes_an_older_workers_hello_and_beats() -> None:
    w = await sync_to_async(world)()
    worker = await sync_to_async(signed)(w, 0)
    socket = worker_socket(worker)
    assert await socket.connect()
    sent = [entry["sent"] for entry in recorded("75de9d2", "clinic") if "sent" in entry]
    for body in sent:
        await socket.send_to(json.dumps(body))
    assert await socket.receive_nothing(0.2), "nothing is refused"
    await settled(socket)
    await sync_to_async(worker.row.refresh_from_db)()
    [last] = [body for body in sent if body["type"] == "hello"][-1:]
    assert worker.row.facts["speed"]["float32"] == last["facts"]["speed"]["float32"]
    assert worker.row.policy["min_tail_layers"] == last["policy"]["min_tail_layers"]
    assert worker.row.policy["max_message_bytes"] is None, "what it did not tell is not known"


# ── the release 0.1.0 ──


@pytest.mark.django_db
def test_an_enrolment_of_the_first_release_is_refused_with_the_version_to_install() -> None:
    [enrolment] = [one for one in recorded("0_1_0", "clinic") if one["way"] == "http" and word_of(one) == "enrol"]
    assert enrolment["body"]["protocol"] == 1
    worker = signed(world(), 0)
    body = enrolment["body"] | {"sent_at": datetime.now(UTC).isoformat()}  # its clock is right
    answer = worker.post_raw("enrol", json.dumps(body).encode())
    refusal = answer.json()
    assert (answer.status_code, refusal["code"]) == (400, "CL-1407")
    assert f"versions up to 1, the hub {c.OLDEST_PROTOCOL} to {c.PROTOCOL_VERSION}" in refusal["message"]
    assert "Install Cutlayer" in refusal["remedy"]


@pytest.mark.django_db(transaction=True)
async def test_a_hello_of_the_first_release_is_refused_with_the_version_to_install() -> None:
    w = await sync_to_async(world)()
    socket = worker_socket(await sync_to_async(signed)(w, 0))
    assert await socket.connect()
    [hello, *_] = [one["sent"] for one in recorded("0_1_0", "clinic") if one.get("sent", {}).get("type") == "hello"]
    await socket.send_to(json.dumps(hello))
    refusal = json.loads(await socket.receive_from())
    assert refusal["code"] == "CL-1407"
    assert f"the hub {c.OLDEST_PROTOCOL} to {c.PROTOCOL_VERSION}" in refusal["message"]
    await settled(socket)
