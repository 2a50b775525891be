"""`verify` loads the joined adapter as anybody would load it, and measures nothing, whoever holds rows."""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from splitcore.adapters.tests.test_verify import adapter
from splitcore.errors import AppError
from splitcore.models.tests.tiny import save_model
from workers.contracts import API_PREFIX, Assignment
from workers.hub import HubClient
from workers.jobs import run
from workers.jobs.folder import JobFolder, job_id_of
from workers.jobs.kinds.verify.bound import TIMES
from workers.jobs.supervise import supervise
from workers.jobs.tests.door import Door
from workers.models_registry import ModelRegistry
from workers.outbox.spool import Spool
from workers.processes import start
from workers.settings import WorkerHome
from workers.tests.support import PEER, assignment_for, contract_for, enrolled_home, equip
from workers.trust import TrustBook


@pytest.fixture
def door(tmp_path: Path) -> Door:
    home = enrolled_home(tmp_path / "home")
    equip(home, model_folder=tmp_path)
    model = save_model(tmp_path / "model", "llama")
    ModelRegistry(home).add(model, model_id="acme/tiny", revision="r1")
    return Door(home, Spool(home.spool_file))


@pytest.fixture
def compute(tmp_path: Path) -> Door:
    home = enrolled_home(tmp_path / "compute", kind="compute")
    equip(home, model_folder=tmp_path)
    with TrustBook.changing(home) as book:
        book.add(PEER, "data")
    return Door(home, Spool(home.spool_file))


def archive_of(folder: Path) -> bytes:
    with zipfile.ZipFile(folder / "adapter.zip", "w") as archive:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            archive.write(folder / name, name)
    return (folder / "adapter.zip").read_bytes()


def asked(door: Door, sha256: str) -> Assignment:
    """The check of an adapter, at a party with rows."""
    contract = copy.deepcopy(contract_for(door.home))
    contract["config"]["model"]["manifest"] = ModelRegistry(door.home).all()[-1].manifest_hash
    contract["config"]["lora"] = {"rank": 2, "alpha": 4, "dropout": 0.0}
    return check_of(contract, sha256)


def asked_to_compute(door: Door, sha256: str) -> Assignment:
    """The check of an adapter, at the compute party."""
    contract = copy.deepcopy(contract_for(door.home))
    own, peer = contract["participants"]
    rows = ("dataset", "dataset_version_id", "dataset_version", "dataset_digest")
    peer |= {"role": "client"} | {name: own[name] for name in rows}
    own |= {"role": "server", "dataset": "", "dataset_version_id": "", "dataset_version": 0, "dataset_digest": ""}
    return check_of(contract, sha256, role="server")


def check_of(contract: dict[str, Any], sha256: str, **more: Any) -> Assignment:
    url = f"{API_PREFIX}/runs/run_1/adapters/adp_1"
    named = {"adapter_id": "adp_1", "adapter_sha256": sha256, "adapter_url": url}
    return assignment_for(contract, kind="verify", attempt=1, **named, **more)


def report(door: Door) -> dict[str, Any]:
    [item] = [item for item in door.spool.outbox() if item.kind == "verified"]
    return dict(json.loads(item.body))


@pytest.mark.parametrize(("fields", "status"), [({}, "ok"), ({"r": 3}, "failed")], ids=["whole", "other-rank"])
def test_adapter_is_loaded_and_nothing_is_measured(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], status: str
) -> None:
    content = archive_of(adapter(tmp_path / "adapter", **fields))

    def download(_client: HubClient, _url: str, target: Path, *, most_bytes: int) -> str:
        assert len(content) <= most_bytes
        target.write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    monkeypatch.setattr(HubClient, "download", download)
    folder = door.open(asked(door, hashlib.sha256(content).hexdigest()))
    assert run.main([str(folder.path)]) == 0
    told = report(door)
    assert [check["status"] for check in told["checks"]] == ["ok", status]
    assert told["evaluation"] is None


@pytest.mark.parametrize("ask", [asked, asked_to_compute])
def test_a_site_checks_no_more_adapters_of_a_contract_than_it_can_have(
    door: Door, compute: Door, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Door, str], Assignment]
) -> None:
    def refuse(*_arguments: object, **_options: object) -> str:
        raise AppError("CL-1701", "The archive cannot be had.")

    monkeypatch.setattr(HubClient, "download", refuse)
    codes, place = [], door if ask is asked else compute
    for number in range(TIMES + 1):
        folder = place.open(ask(place, f"{number:064x}"))
        assert run.main([str(folder.path)]) == 1
        result = folder.result()
        assert result is not None
        assert result.error is not None
        codes.append(result.error.code)
    assert codes == ["CL-1701"] * TIMES + ["CL-1428"]


@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "other-bytes"])
def test_nothing_of_an_adapter_stays_at_a_site_that_has_checked_it(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_whole: bool
) -> None:
    content = archive_of(adapter(tmp_path / "adapter"))

    def download(_client: HubClient, _url: str, target: Path, *, most_bytes: int) -> str:
        target.write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    def in_this_process(_home: WorkerHome, folder: JobFolder) -> subprocess.Popen[bytes]:
        run.main([str(folder.path)])
        kept.extend(path.name for path in folder.out.iterdir())
        return start([sys.executable, "-c", ""], log=folder.log)

    kept: list[str] = []
    monkeypatch.setattr(HubClient, "download", download)
    monkeypatch.setattr("workers.jobs.supervise.start_half", in_this_process)
    check = asked(door, hashlib.sha256(content if is_whole else b"").hexdigest())
    folder = door.open(check)
    folder.write_assignment(check)
    supervise(door.home, "run_1", job_id_of(check))
    assert "adapter.zip" in kept
    assert not folder.out.exists()
    assert [one["status"] for one in report(door)["checks"]] == (["ok", "ok"] if is_whole else ["failed"])
