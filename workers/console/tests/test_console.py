"""The console: a ticket may add and no more, the PIN guards the rows, and a file becomes a dataset."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from processes.redis_server import RedisServer
from splitcore.boundary.release import Plan, Reach, Sending
from splitcore.models.tests.tiny import save_tokenizer
from splitcore.policy.schema import PrivacyBudget
from workers.accounting.accountant import JobAccountant
from workers.console.tests.conftest import RunningConsole, Visitor
from workers.contracts import MetricPayload, SamplePayload
from workers.data.store import DatasetStore
from workers.ledger.book import Book
from workers.outbox.spool import Spool
from workers.policy import SitePolicy

ROWS = "".join(json.dumps({"prompt": f"secret question {i}", "completion": f"answer {i}"}) + "\n" for i in range(60))
GUARDED = ["/datasets/notes/1", "/logs"]


def upload(visitor: Visitor, name: str, content: bytes, *, step: int = 700) -> str:
    """Send a file in small chunks; returns the upload's id."""
    state = visitor.send("POST", "/uploads", json={"name": name, "size": len(content), "changed": 7}).json()
    for offset in range(0, len(content), step):
        chunk = content[offset : offset + step]
        digest = hashlib.sha256(chunk).hexdigest()
        answer = visitor.send(
            "PUT", f"/uploads/{state['id']}?offset={offset}", content=chunk, headers={"X-Chunk-SHA256": digest}
        )
        assert answer.status_code == 200, answer.text
    return str(state["id"])


def check(visitor: Visitor, upload_id: str, **options: Any) -> dict[str, Any]:
    """Check a file and wait for the end."""
    answer = visitor.send("POST", f"/uploads/{upload_id}/check", json={"eval_fraction": 0.2, **options})
    assert answer.status_code == 202, answer.text
    deadline = time.monotonic() + 20
    job: dict[str, Any] = answer.json()
    while not job["done"]:
        assert time.monotonic() < deadline
        job = visitor.http.get(f"/uploads/{upload_id}/check").json()
    return job


def test_a_ticket_lets_a_file_become_a_dataset_and_shows_what_leaves(console: RunningConsole) -> None:
    visitor = console.browser()
    assert visitor.send("POST", "/ticket", json={"ticket": console.ticket()}).json() == {"may_add": True}
    upload_id = upload(visitor, "notes.jsonl", ROWS.encode())
    assert visitor.http.get(f"/uploads/{upload_id}/columns").json()["mapping"] == {
        "prompt": "prompt",
        "completion": "completion",
    }
    job = check(visitor, upload_id)
    page = visitor.http.get(f"/staged/{job['staged_id']}").text
    assert 'value="notes"' in page
    assert "secret question" not in page
    form = {"name": "notes", "with_columns": "on"}
    leaves = visitor.send("POST", f"/staged/{job['staged_id']}/propose", data=form).text
    assert "train_rows" in leaves
    assert "secret question" not in leaves
    added = visitor.send("POST", f"/staged/{job['staged_id']}/confirm", data=form)
    assert added.status_code == 200
    assert "CL-14" in added.text, "the hub is away: the page says so, and nothing is lost"
    [stored] = DatasetStore(console.home.root).versions()
    assert stored.metadata.rows == 60
    page = visitor.http.get("/datasets").text
    assert "Not sent yet" in page
    assert "No run has sent hidden states of these rows yet." in page
    console.home.policy_file.write_text(SitePolicy(privacy_budget=PrivacyBudget(epsilon=20, delta=1e-5)).to_yaml())
    rows = list(stored.train_rows())
    accountant = JobAccountant.of(console.home, run_id="run_1", party="a", train=rows, held_out=[])
    accountant.begin(Plan("gaussian", Reach.OWN, {0: (1, 4.0)}))
    accountant.charge([Sending(0, 4.0, b"values")])
    page = visitor.http.get("/datasets").text
    for words in ("ε = 10 of 20", "run_1", "Gradients at the second cut", "one row is replaced by any other row"):
        assert words in page, words
    key_file = DatasetStore(console.home.root).key_file
    key = key_file.read_bytes()
    key_file.write_bytes(bytes(range(len(key))))
    page = visitor.http.get("/datasets").text
    assert "CL-1571" in page
    assert "ε = 10" not in page
    key_file.write_bytes(key)
    assert "ε = 10 of 20" in visitor.http.get("/datasets").text


def test_a_rejected_file_is_named_as_such_and_can_be_discarded(console: RunningConsole) -> None:
    visitor = console.browser()
    visitor.unlock(console.pin)
    rejected = upload(visitor, "picture.csv", b"\x89PNG\x00 not text")
    assert "CL-1210" in visitor.http.get(f"/uploads/{rejected}/columns").text
    page = visitor.http.get("/add").text
    assert "picture.csv" in page
    assert "can't be used as it is (CL-1210)" in page
    assert "choose the same file again" not in page
    assert visitor.send("DELETE", f"/uploads/{rejected}").status_code == 200
    cut = visitor.send("POST", "/uploads", json={"name": "later.jsonl", "size": 100}).json()["id"]
    assert "choose the same file again" in visitor.http.get("/add").text
    assert visitor.send("DELETE", f"/uploads/{cut}").status_code == 200
    page = visitor.http.get("/add").text
    assert "picture.csv" not in page
    assert "later.jsonl" not in page


def test_a_discarded_check_takes_its_file_along_and_the_sizes_agree(console: RunningConsole) -> None:
    visitor = console.browser()
    visitor.unlock(console.pin)
    for way in ("discard", "delete"):
        upload_id = upload(visitor, f"notes-{way}.jsonl", ROWS.encode())
        staged = check(visitor, upload_id)["staged_id"]
        assert "in files not added yet" in " ".join(visitor.http.get("/datasets").text.split()).replace(
            '<a href="/add">', ""
        )
        if way == "discard":
            visitor.send("POST", f"/staged/{staged}/discard")
        else:
            visitor.send("DELETE", f"/uploads/{upload_id}")
        assert visitor.http.get(f"/staged/{staged}").status_code == 404
        assert visitor.http.get(f"/uploads/{upload_id}").status_code == 404
        assert "not added" not in visitor.http.get("/datasets").text


def test_a_check_with_few_held_out_rows_says_what_follows(console: RunningConsole) -> None:
    visitor = console.browser()
    visitor.unlock(console.pin)
    pages = {}
    for fraction in (0, 0.5):
        job = check(visitor, upload(visitor, f"notes-{fraction}.jsonl", ROWS.encode()), eval_fraction=fraction)
        pages[fraction] = visitor.http.get(f"/staged/{job['staged_id']}").text
    assert "No rows are held out: a finished adapter is measured on at least 8." in pages[0]
    assert "a finished adapter is measured" not in pages[0.5]


def test_what_the_console_does_not_have_or_take_is_said_on_a_page_of_its_own(shared_console: RunningConsole) -> None:
    visitor = shared_console.browser()
    answers = {
        404: visitor.http.get("/nothing/here"),
        403: visitor.http.post("/pin", data={"pin": "1"}),
        400: visitor.http.get("/", headers={"Host": "evil.example"}),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert 'data-cl-site="console"' in answer.text
        assert 'href="/">Back to status' in answer.text
        scripts = re.findall(r'<script src="([^"]+)"', answer.text)
        assert scripts
        assert all(visitor.http.get(script).status_code == 200 for script in scripts)
        assert "organisation that you" not in answer.text


def test_without_ticket_or_pin_nothing_can_be_added_or_seen(shared_console: RunningConsole) -> None:
    visitor = shared_console.browser()
    for method, path in [("POST", "/uploads"), ("GET", "/uploads/0123456789abcdef"), ("POST", "/staged/x/confirm")]:
        assert visitor.send(method, path).status_code == 403
    for path in GUARDED:
        assert visitor.http.get(path).status_code == 403


def test_a_ticket_adds_but_never_shows_or_deletes_rows(shared_console: RunningConsole) -> None:
    visitor = shared_console.browser()
    visitor.send("POST", "/ticket", json={"ticket": shared_console.ticket()})
    for path in GUARDED:
        assert visitor.http.get(path).status_code == 403
    assert visitor.send("POST", "/datasets/notes/1/delete").status_code == 403


def test_bad_tickets_say_what_is_wrong(shared_console: RunningConsole) -> None:
    good = shared_console.ticket()
    body, signature = good.split(".")
    cases = {
        "CL-1450": [
            "",
            "x",
            f"{body}.{signature[:-4]}AAAA",
            shared_console.ticket(worker_id="wrk_2"),
            shared_console.ticket(action="see"),
        ],
        "CL-1451": [shared_console.ticket(exp=int(time.time()) - 1)],
    }
    for code, tickets in cases.items():
        for ticket in tickets:
            answer = shared_console.browser().send("POST", "/ticket", json={"ticket": ticket})
            assert (answer.status_code, answer.json()["code"]) == (403, code)
    assert shared_console.browser().send("POST", "/ticket", json={"ticket": good}).status_code == 200
    again = shared_console.browser().send("POST", "/ticket", json={"ticket": good})
    assert (again.status_code, again.json()["code"]) == (403, "CL-1452")


def test_the_pin_opens_rows_and_guessing_it_is_slowed_down(console: RunningConsole) -> None:
    thief = console.browser()
    codes = [thief.unlock(f"{number:08d}").status_code for number in range(8)]
    assert codes[:4] == [403] * 4
    assert codes[-1] == 429
    assert thief.http.get("/logs").status_code == 403


def test_rows_are_previewed_and_deleted_with_the_pin(console: RunningConsole) -> None:
    visitor = console.browser()
    assert visitor.unlock(console.pin).status_code == 302
    job = check(visitor, upload(visitor, "a.jsonl", ROWS.encode()))
    visitor.send("POST", f"/staged/{job['staged_id']}/confirm", data={"name": "notes"})
    page = visitor.http.get("/datasets/notes/1").text
    assert page.index("<th>prompt</th>") < page.index("<th>completion</th>") < page.index("secret question")
    assert visitor.send("POST", "/datasets/notes/1/delete").status_code == 302
    assert DatasetStore(console.home.root).versions() == []


def test_a_foreign_host_name_a_missing_csrf_token_and_a_foreign_origin_are_refused(
    shared_console: RunningConsole,
) -> None:
    assert httpx.get(shared_console.url, headers={"Host": "rebound.example"}, trust_env=False).status_code == 400
    visitor = shared_console.browser()
    assert visitor.http.post("/pin", data={"pin": shared_console.pin}).status_code == 403
    foreign = visitor.send("POST", "/pin", data={"pin": shared_console.pin}, headers={"Origin": "http://evil.example"})
    assert foreign.status_code == 403


def test_every_page_answers_and_carries_the_strict_policy(shared_console: RunningConsole) -> None:
    visitor = shared_console.browser()
    visitor.unlock(shared_console.pin)
    for path in ["/", "/datasets", "/add", "/ledger", "/decisions", "/policy", "/doctor", "/logs", "/pin"]:
        answer = visitor.http.get(path)
        assert answer.status_code == 200, path
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'self'" in policy
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.promise(11)
def test_what_left_is_told_run_by_run_and_word_for_word_only_with_the_pin(console: RunningConsole) -> None:
    spool, book = Spool(console.home.spool_file), Book(console.home.ledger_file)
    spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
    answers = SamplePayload(prompts=["a public prompt"], base=[], tuned=["a generated secret"])
    spool.record(participant_id="prt_1", attempt=1, kind="sample", payload=answers, step=5)
    spool.record(participant_id="prt_1", attempt=1, kind="metric", payload=MetricPayload(loss=1.25), step=6)
    spool.stored("prt_1", 2)
    book.add("telemetry", 123_456, b"head", run_id="run_1")
    book.add("activations:head_up", 7_654_321, b"head", run_id="run_1", receiver="gpu-1")
    book.add("beat", 999, b"head")
    visitor = console.browser()
    page = visitor.http.get("/ledger").text
    for words in (
        "Run run_1",
        "Activations after the head",
        "gpu-1",
        "7,654,321",
        "Outside runs",
        "Heartbeats",
    ):
        assert words in page, words
    for words in ("a generated secret", "1.25"):
        assert words not in page, words
    visitor.unlock(console.pin)
    page = visitor.http.get("/ledger").text
    for words in ("a generated secret", "1.25"):
        assert words in page, words


def test_two_consoles_on_one_host_do_not_share_cookies(console: RunningConsole) -> None:
    visitor = console.browser()
    visitor.unlock(console.pin)
    assert all(name.startswith("cutlayer_console_") for name in visitor.http.cookies)
    cookies = visitor.http.get("/").headers.get_list("set-cookie")
    assert cookies
    assert all("SameSite=Strict" in cookie for cookie in cookies)


def test_the_console_starts_without_a_warning(tmp_path):
    gathered = "StreamingHttpResponse must consume synchronous iterators in order to serve them asynchronously."
    code = f"import warnings, workers.console.asgi; warnings.warn({gathered!r}, stacklevel=1)"
    environment = {
        **os.environ,
        "CUTLAYER_WORKER_HOME": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "workers.console.settings",
    }
    command = [sys.executable, "-W", "error::UserWarning", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_figures_for_prometheus_are_for_this_machine_and_for_the_token(console: RunningConsole):
    visitor = console.browser()
    text = visitor.http.get("/metrics").text
    found = {one.name: one.value for family in text_string_to_metric_families(text) for one in family.samples}
    assert found["cutlayer_worker_queue_up"] == 0.0
    assert found["cutlayer_worker_messages_waiting"] == 0.0
    assert found["cutlayer_worker_disk_free_bytes"] > 0
    proxied = {"X-Forwarded-For": "203.0.113.9"}
    assert visitor.http.get("/metrics", headers=proxied).status_code == 404
    token = (console.home.root / "metrics_token").read_text()
    assert visitor.http.get("/metrics", headers={**proxied, "Authorization": f"Bearer {token}"}).status_code == 200
    server = RedisServer(console.home.run)
    server.start()
    try:
        assert "cutlayer_worker_queue_up 1.0" in visitor.http.get("/metrics").text
    finally:
        server.stop()


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"name": "\\ud800.csv", "size": 3}',
        b'{"name": "a.csv", "size": true}',
        b'{"name": "a.csv", "size": 3, "changed": -1}',
        b'{"name": "a.csv", "size": 1e3}',
    ],
)
def test_a_file_s_facts_of_the_wrong_kind_are_refused_and_break_no_page(
    shared_console: RunningConsole, body: bytes
) -> None:
    visitor = shared_console.browser()
    visitor.unlock(shared_console.pin)
    answer = visitor.send("POST", "/uploads", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"] in ("CL-1001", "CL-1218")) == (400, True)
    assert visitor.http.get("/add").status_code == 200


@pytest.mark.parametrize("mapping", ["prompt", [1], 5])
def test_a_mapping_of_the_wrong_kind_is_refused(shared_console: RunningConsole, mapping: object) -> None:
    visitor = shared_console.browser()
    visitor.unlock(shared_console.pin)
    upload_id = upload(visitor, "notes.jsonl", ROWS.encode(), step=4000)
    answer = visitor.send("POST", f"/uploads/{upload_id}/check", json={"mapping": mapping})
    assert (answer.status_code, answer.json()["code"]) == (400, "CL-1001")


def test_the_check_s_page_says_how_many_rows_a_run_would_truncate_or_leave_out(
    console: RunningConsole, tmp_path: Path
) -> None:
    save_tokenizer(tmp_path / "model")
    rows = [{"prompt": "x" * 300, "completion": "y"}, {"prompt": "x" * 200, "completion": "y" * 200}]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    staged = DatasetStore(console.home.root).stage(file, eval_fraction=0.0, model_folder=tmp_path / "model")
    visitor = Visitor(console.url)
    visitor.unlock(console.pin)
    page = " ".join(visitor.http.get(f"/staged/{staged.staged_id}").text.split())
    assert '<td>256</td> <td class="cl-num">1</td> <td class="cl-num">1</td>' in page
