"""`cutlayer audit verify`: an export is checked with the pinned key, and compared with what this worker was shown."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.testing import CliRunner

from splitcore.audit_export import Statement, entry_hash, key_fingerprint, seal
from splitcore.errors import AppError
from workers.cli import app
from workers.contracts import ChainHead
from workers.settings import WorkerConfig, WorkerHome
from workers.tests.support import enrolled_home
from workers.witness import Witness

KEY = Ed25519PrivateKey.generate()


def pem_of(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def entry(number: int, previous: str) -> dict[str, object]:
    """One entry of a chain."""
    texts = ("actor_kind", "actor_id", "actor_label", "organisation_id", "project_id", "action", "object_id")
    fields = {name: name for name in texts} | {"sequence": number, "at": "2026-01-02T03:04:05.000006+00:00"}
    fields |= {"details": {"n": number}, "previous_hash": previous}
    return {**fields, "hash": entry_hash(fields)}


FIRST = entry(1, "0" * 64)
SECOND = entry(2, str(FIRST["hash"]))


def write_export(path: Path, *, key: Ed25519PrivateKey = KEY) -> Path:
    """Two entries of a log of five."""
    body = "".join(json.dumps(one) + "\n" for one in (FIRST, SECOND)).encode()
    statement = Statement(
        organisation_id="org_own",
        filter="",
        exported_at=datetime.now(UTC),
        entries=2,
        sha256=hashlib.sha256(body).hexdigest(),
        epoch="",
        sequence=5,
        head="ab" * 32,
        hub_key=key_fingerprint(pem_of(key)),
    )
    path.write_bytes(body + seal("json", statement, key.sign))
    return path


@pytest.fixture
def home(tmp_path: Path) -> WorkerHome:
    home = enrolled_home(tmp_path / "home")
    config = WorkerConfig.load(home)
    enrolment = config.enrolment.model_copy(update={"hub_public_key_pem": pem_of(KEY)})
    config.model_copy(update={"enrolment": enrolment}).save(home)
    return home


def verify(home: WorkerHome, file: Path, *more: str) -> str:
    """What the command prints. Raises what it raises."""
    result = CliRunner().invoke(app, ["audit", "verify", str(file), "--home", str(home.root), *more])
    if result.exception is not None:
        raise result.exception
    return result.output


def test_an_export_is_checked_with_the_key_that_the_worker_keeps(home: WorkerHome, tmp_path: Path) -> None:
    told = verify(home, write_export(tmp_path / "audit.json"))
    assert "Signed by the hub" in told
    assert "2 entries of org_own" in told
    assert "ended at entry 5" in told


def test_a_changed_file_and_a_foreign_key_are_refused(home: WorkerHome, tmp_path: Path) -> None:
    file = write_export(tmp_path / "audit.json")
    file.write_bytes(file.read_bytes().replace(b"action", b"actioN", 1))
    with pytest.raises(AppError) as changed:
        verify(home, file)
    assert changed.value.code == "CL-1438"
    foreign = write_export(tmp_path / "foreign.json", key=Ed25519PrivateKey.generate())
    with pytest.raises(AppError) as other:
        verify(home, foreign)
    assert other.value.code == "CL-1439"


def test_a_key_can_be_named_where_there_is_no_worker(tmp_path: Path) -> None:
    key = tmp_path / "hub.pem"
    key.write_text(pem_of(KEY))
    nowhere = WorkerHome(tmp_path / "nowhere")
    assert "Signed by the hub" in verify(nowhere, write_export(tmp_path / "audit.json"), "--key", str(key))


@pytest.mark.promise(39)
@pytest.mark.parametrize(("number", "true"), [(1, FIRST["hash"]), (2, SECOND["hash"]), (5, "ab" * 32)])
def test_an_export_is_compared_with_what_the_worker_was_shown(
    home: WorkerHome, tmp_path: Path, number: int, true: str
) -> None:
    file, witness = write_export(tmp_path / "audit.json"), Witness(home.root)
    witness.see(ChainHead(sequence=number, head=true))
    assert f"agrees with entry {number}" in verify(home, file)
    witness.forget()
    witness.see(ChainHead(sequence=number, head="cd" * 32))
    with pytest.raises(AppError) as caught:
        verify(home, file)
    assert caught.value.code == "CL-1448"


def test_an_export_without_the_entry_that_was_shown_says_so(home: WorkerHome, tmp_path: Path) -> None:
    Witness(home.root).see(ChainHead(sequence=4, head="cd" * 32))
    assert "doesn't contain entry 4" in verify(home, write_export(tmp_path / "audit.json"))


def test_who_has_no_worker_is_told_the_command_with_the_key(tmp_path: Path) -> None:
    file = write_export(tmp_path / "the log.json")
    result = CliRunner().invoke(app, ["audit", "verify", str(file), "--home", str(tmp_path / "none")])
    assert isinstance(result.exception, AppError)
    assert result.exception.code == "CL-1420"
    assert f"cutlayer audit verify '{file}' --key hub_public_key.pem" in result.exception.remedy
