"""Promise 10: what leaves of an exception is a code, its class and our own line, never its text."""

from __future__ import annotations

import errno
import json
import subprocess
import sys

import pytest

from splitcore.data.rows import check_row
from splitcore.errors import AppError
from splitcore.wire.protocol.messages import PeerError
from workers.errors import error_info

OUT_OF_MEMORY = """
import resource, torch
from pathlib import Path
from workers.errors import error_info
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28),) * 2)
try:
    torch.empty(1 << 30)
except BaseException as error:
    print(error_info(error).model_dump_json())
"""
CANARY = "CANARY-patient-4711"


def failed(error: BaseException) -> str:
    """The report of an error that was raised and caught."""
    try:
        raise error
    except BaseException as raised:
        return error_info(raised).model_dump_json()


@pytest.mark.promise(10)
@pytest.mark.parametrize(
    "error",
    [
        ValueError(f"could not tokenise {CANARY!r}"),
        KeyError(CANARY),
        UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY),
        AppError("CL-1201", f"Row 7: {CANARY}"),
        RuntimeError(CANARY),
    ],
)
def test_no_text_of_an_exception_leaves(error: BaseException) -> None:
    assert CANARY not in failed(error)


def test_the_class_and_our_own_line_are_named() -> None:
    with pytest.raises(AppError) as raised:
        check_row({"prompt": CANARY, "completion": ""})
    info = error_info(raised.value)
    assert info.code == "CL-1202"
    assert info.where.startswith("RowError at splitcore/data/rows.py:")
    assert CANARY not in info.model_dump_json()


def test_a_library_s_error_is_placed_at_our_own_line() -> None:
    with pytest.raises(json.JSONDecodeError) as raised:
        json.loads("{" + CANARY)
    info = error_info(raised.value)
    assert info.code == "CL-1999"
    assert "json/" not in info.where


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "no space", CANARY), "CL-1820"),
        (OSError(errno.EDQUOT, "quota", CANARY), "CL-1821"),
        (MemoryError(), "CL-1521"),
        (OutOfMemoryError("tried to allocate"), "CL-1521"),
        (AppError("CL-1104"), "CL-1104"),
        (ZeroDivisionError(), "CL-1999"),
    ],
)
def test_an_error_has_its_number(error: BaseException, code: str) -> None:
    assert error_info(error).code == code


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is set from /proc")
def test_real_memory_that_runs_out_on_a_processor_has_its_number() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY], capture_output=True, text=True, timeout=120, check=True
    )
    reported = json.loads(done.stdout)
    assert reported["code"] == "CL-1521"
    assert "allocate" not in done.stdout, "torch's own words stay here"
    assert reported["remedy"]


@pytest.mark.parametrize("code", ["CL-1820", "CL-1429", "CL-1205", "CL-1521"])
def test_a_code_of_the_other_half_is_reported_as_its_word(code: str) -> None:
    info = error_info(PeerError(code))
    assert info.code == "CL-1329"
    assert f"The other half reported {code}" in info.message


def test_what_concerns_both_halves_keeps_its_number() -> None:
    info = error_info(PeerError("CL-1532"))
    assert info.code == "CL-1532"
    assert "The other half reported" in info.message


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("/home/alice/trial-x/policy.yaml: no such field.", "policy.yaml: no such field."),
        ("/srv/Klinik Nord/trial x/trust.json can't be read.", "trust.json can't be read."),
        ("Two files: /srv/a/b.json and '/srv/c/d.json'.", "Two files: b.json and 'd.json'."),
        ("https://hub.example/api/worker answered with 500.", "https://hub.example/api/worker answered with 500."),
        ("1/2 rows, and/or more.", "1/2 rows, and/or more."),
    ],
)
def test_a_report_names_no_folder_of_this_machine(message: str, told: str) -> None:
    assert error_info(AppError("CL-1427", message)).message == told
