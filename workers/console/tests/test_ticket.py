"""A hub's ticket is good for one dataset that is started within its ten minutes, and for nothing of anybody else's."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from workers.console.tests.conftest import RunningConsole, Visitor
from workers.console.tests.test_console import ROWS, check, upload
from workers.data.store import DatasetStore
from workers.data.uploads import UploadStore
from workers.hub_clock import HubClock
from workers.settings import WorkerConfig
from workers.tests.support import wait_for


def holder(console: RunningConsole, **changes: object) -> Visitor:
    """A browser that came by the hub's link."""
    visitor = console.browser()
    assert visitor.send("POST", "/ticket", json={"ticket": console.ticket(**changes)}).status_code == 200
    return visitor


def begin(visitor: Visitor, name: str = "notes.jsonl", size: int = 10) -> tuple[int, str]:
    """Try to start an upload; status and code."""
    answer = visitor.send("POST", "/uploads", json={"name": name, "size": size, "changed": 7})
    return answer.status_code, answer.json().get("code", "")


def test_a_ticket_is_good_for_one_dataset(console: RunningConsole) -> None:
    visitor = holder(console)
    job = check(visitor, upload(visitor, "notes.jsonl", ROWS.encode()))
    added = visitor.send("POST", f"/staged/{job['staged_id']}/confirm", data={"name": "notes"})
    assert added.status_code == 200
    assert begin(visitor) == (403, "CL-1450")
    assert len(DatasetStore(console.home.root).versions()) == 1
    again = visitor.send("POST", "/ticket", json={"ticket": console.ticket()})  # a fresh link goes on
    assert again.status_code == 200
    assert begin(visitor) == (200, "")


def test_a_ticket_that_everybody_can_sign_is_none(console: RunningConsole) -> None:
    """Under a key of zeros, one in four texts is signed by a point and nothing."""
    config, zeros = WorkerConfig.load(console.home), Ed25519PublicKey.from_public_bytes(bytes(32))
    pem = zeros.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    enrolment = config.enrolment.model_copy(update={"hub_public_key_pem": pem})
    config.model_copy(update={"enrolment": enrolment}).save(console.home)
    forged = base64.urlsafe_b64encode((1).to_bytes(32, "little") + bytes(32)).decode().rstrip("=")
    tickets = [f"{console.ticket(jti=f'forged-{number}').split('.')[0]}.{forged}" for number in range(64)]
    assert {console.browser().send("POST", "/ticket", json={"ticket": one}).status_code for one in tickets} == {403}


def test_a_ticket_starts_nothing_after_its_ten_minutes(console: RunningConsole) -> None:
    visitor = holder(console, exp=int(time.time()) + 3)
    assert begin(visitor) == (200, "")
    wait_for(lambda: begin(visitor, f"{time.monotonic_ns()}.jsonl")[1] == "CL-1451", what="the ticket's end")
    state = visitor.send("POST", "/uploads", json={"name": "notes.jsonl", "size": 10, "changed": 7})
    assert state.status_code == 200, "what was started in time is found again and may be finished"


@pytest.mark.parametrize("ahead", [timedelta(minutes=20), timedelta(minutes=-20)], ids=["slow", "fast"])
def test_a_ticket_is_timed_by_the_hub_s_clock(console: RunningConsole, ahead: timedelta) -> None:
    hub_time = datetime.now(UTC) + ahead
    HubClock(console.home.clock_file).follow(hub_time)
    ticket = console.ticket(exp=int(hub_time.timestamp()) + 600)
    visitor = console.browser()
    assert visitor.send("POST", "/ticket", json={"ticket": ticket}).status_code == 200
    assert begin(visitor) == (200, "")
    again = console.browser().send("POST", "/ticket", json={"ticket": ticket})
    assert again.json()["code"] == "CL-1452"
    ended = console.ticket(exp=int(hub_time.timestamp()) - 5)
    assert console.browser().send("POST", "/ticket", json={"ticket": ended}).json()["code"] == "CL-1451"


def test_a_ticket_does_not_fill_the_disk_with_files(console: RunningConsole) -> None:
    visitor = holder(console)
    answers = [begin(visitor, f"{number}.jsonl") for number in range(6)]
    assert answers == [(200, "")] * 4 + [(403, "CL-1457")] * 2


def test_a_refused_file_leaves_the_link_usable(console: RunningConsole) -> None:
    visitor = holder(console)
    for number in range(6):
        refused = upload(visitor, "notes.csv", b"prompt,completion\n" if number % 2 else b"\n" * 18)
        assert "CL-1229" in visitor.http.get(f"/uploads/{refused}/columns", headers={"Accept": "application/json"}).text
    refused = upload(visitor, "notes.jsonl", b'{"prompt": "a", "completion": ""}\n')
    assert check(visitor, refused)["error"]["code"] == "CL-1216"
    assert len(list((console.home.root / "uploads").glob("*.part"))) == 1, "refused files don't pile up"
    job = check(visitor, upload(visitor, "notes.jsonl", ROWS.encode()))
    assert visitor.send("POST", f"/staged/{job['staged_id']}/confirm", data={"name": "notes"}).status_code == 200


def refused(visitor: Visitor, upload_id: str) -> str:
    """The code of what is wrong with an uploaded file itself."""
    return str(visitor.http.get(f"/uploads/{upload_id}").json()["refused"])


def test_a_bad_held_out_file_leaves_the_good_training_file(console: RunningConsole) -> None:
    visitor = holder(console)
    train = upload(visitor, "notes.jsonl", ROWS.encode())
    bad = upload(visitor, "held.jsonl", b"no row\n")
    error = check(visitor, train, heldout_upload=bad)["error"]
    assert (error["code"], refused(visitor, bad), refused(visitor, train)) == ("CL-1216", "CL-1216", "")
    assert "held-out file" in error["message"]
    corrected = upload(visitor, "held.jsonl", b'{"prompt": "b", "completion": "c"}\n')
    assert check(visitor, train, heldout_upload=corrected)["staged_id"]


def test_a_wrong_mapping_refuses_no_file(console: RunningConsole) -> None:
    visitor = holder(console)
    rows = "".join(json.dumps({"question": f"q{i}", "answer": f"a{i}", "note": ""}) + "\n" for i in range(20))
    train = upload(visitor, "notes.jsonl", rows.encode())
    wrong = check(visitor, train, mapping={"prompt": "question", "completion": "note"})
    assert (wrong["error"]["code"], refused(visitor, train)) == ("CL-1216", "")
    assert begin(visitor, "other.jsonl") == (200, ""), "the next file takes the place of refused ones"
    assert check(visitor, train, mapping={"prompt": "question", "completion": "answer"})["staged_id"]


def test_a_file_that_passes_is_no_longer_refused(console: RunningConsole) -> None:
    visitor = holder(console)
    train = upload(visitor, "notes.jsonl", ROWS.encode())
    UploadStore(console.home.root / "uploads").refuse(train, "CL-1227")  # as after a check while memory was short
    assert refused(visitor, train) == "CL-1227"
    assert check(visitor, train)["staged_id"]
    assert refused(visitor, train) == ""


def test_a_link_does_not_take_refused_files_without_an_end(console: RunningConsole) -> None:
    visitor, uploads = holder(console), UploadStore(console.home.root / "uploads")
    for number in range(30):
        answer = visitor.send("POST", "/uploads", json={"name": f"{number}.csv", "size": 10})
        assert answer.status_code == 200, (number, answer.text)
        uploads.refuse(answer.json()["id"], "CL-1229")  # as its check does
    assert len(uploads.all()) == 1, "each makes room for the next"
    assert begin(visitor, "30.csv") == (403, "CL-1457")


def test_a_holder_sees_and_discards_nobody_else_s_upload(console: RunningConsole) -> None:
    ada, eve = holder(console), holder(console)
    upload_id = upload(ada, "secret-name.jsonl", ROWS.encode())
    staged = check(ada, upload_id)["staged_id"]
    assert "secret-name" not in eve.http.get("/add").text
    same = eve.send("POST", "/uploads", json={"name": "secret-name.jsonl", "size": len(ROWS)}).json()
    assert same["id"] != upload_id, "the same name and size are no way to another's bytes"
    assert same["received"] == 0
    for method, path in (
        ("GET", f"/uploads/{upload_id}"),
        ("DELETE", f"/uploads/{upload_id}"),
        ("PUT", f"/uploads/{upload_id}?offset=0"),
        ("GET", f"/uploads/{upload_id}/columns"),
        ("GET", f"/uploads/{upload_id}/check"),
        ("POST", f"/uploads/{upload_id}/check"),
        ("GET", f"/staged/{staged}"),
        ("POST", f"/staged/{staged}/propose"),
        ("POST", f"/staged/{staged}/confirm"),
        ("POST", f"/staged/{staged}/discard"),
    ):
        answer = eve.send(method, path, **({"json": {}} if method != "GET" else {}))
        assert answer.json()["code"] == "CL-1223", (method, path)
    assert eve.send("POST", f"/uploads/{same['id']}/check", json={"heldout_upload": upload_id}).json()["code"] in (
        "CL-1223",
        "CL-1221",
    )
    assert "secret-name" in ada.http.get("/add").text
    ada.send("POST", "/ticket", json={"ticket": console.ticket()})
    assert ada.http.get(f"/staged/{staged}").status_code == 200, "a fresh link in the same browser finds its own"


def test_the_pin_opens_every_upload(console: RunningConsole) -> None:
    upload_id = upload(holder(console), "notes.jsonl", ROWS.encode())
    operator = console.browser()
    operator.unlock(console.pin)
    assert operator.http.get(f"/uploads/{upload_id}").json()["received"] == len(ROWS)
    assert operator.send("DELETE", f"/uploads/{upload_id}").status_code == 200


@pytest.mark.parametrize("number", [None, "", 5])
def test_a_ticket_without_a_number_is_none(shared_console: RunningConsole, number: object) -> None:
    """A hub may sign what it likes: it must be a ticket that can be spent."""
    answer = shared_console.browser().send("POST", "/ticket", json={"ticket": shared_console.ticket(jti=number)})
    assert (answer.status_code, answer.json()["code"]) == (403, "CL-1450")
