"""The doctor against a hub that answers with anything: each check ends with a result."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from workers import doctor
from workers.doctor import run_checks
from workers.tests.support import enrolled_home


@contextmanager
def answering(date: str, body: bytes) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            self.send_header("Date", date)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Nothing: a test's output is its own."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("date", "body"),
    [
        ("Mon, 01 Jan 99999999999999999999 00:00:00 +0000", b"{}"),
        ("Sun, 29 Nov 2026 02:00:00 GMT", b"[" * 200_000),
        ("Sun, 29 Nov 2026 02:00:00 GMT", b"1" * 200_000),
        ("Sun, 29 Nov 2026 02:00:00 GMT", b"\xff"),
    ],
    ids=["a date beyond the calendar", "nested JSON", "a long number", "no text"],
)
def test_no_answer_of_a_hub_ends_the_examination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, date: str, body: bytes
) -> None:
    monkeypatch.setattr(doctor, "find_speed", lambda home: None)
    with answering(date, body) as url:
        checks = {check.name: check for check in run_checks(enrolled_home(tmp_path / "home", url))}
    assert "Tensor ports" in checks
    assert checks["Signature"].status == "failed", "the hub's answer is not taken for a list of work"
    assert "Hub and clock" in checks


def test_a_fault_in_one_check_hides_none_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(home: object) -> None:
        raise RuntimeError("/home/alice/secret")

    monkeypatch.setattr(doctor, "find_speed", broken)
    checks = {check.name: check for check in run_checks(enrolled_home(tmp_path / "home"))}
    assert (checks["Speed"].status, checks["Speed"].code) == ("failed", "CL-1999")
    assert "alice" not in checks["Speed"].detail
    assert "Tensor ports" in checks


def test_the_checks_tell_the_hub_no_path_and_no_name_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_speed", lambda home: None)
    home = enrolled_home(tmp_path / "home-of-alice")
    file = home.datasets / "oncology-trial" / "v1" / "train.jsonl"
    file.parent.mkdir(parents=True, mode=0o700)
    file.write_text("x")
    file.chmod(0o644)
    checks = run_checks(home)
    [folder] = [check for check in checks if check.name == "Folder"]
    assert folder.status == "warning"
    told = "".join(check.model_dump_json() for check in checks)
    assert "alice" not in told
    assert "oncology" not in told
