"""`verify` loads the joined adapter as anybody would load it, and measures nothing, whoever holds rows."""

from __future__ import annotations

import copy
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from splitcore.adapters.tests.test_verify import adapter
from splitcore.errors import AppError
from splitcore.models.tests.tiny import save_model
from workers.contracts import API_PREFIX, Assignment
from workers.hub import HubClient
from workers.jobs import run
from workers.jobs.kinds.verify.bound import TIMES
from workers.jobs.tests.door import Door
from workers.models_registry import ModelRegistry
from workers.outbox.spool import Spool
from workers.tests.support import assignment_for, contract_for, enrolled_home, equip


@pytest.fixture
def door(tmp_path: Path) -> Door:
    home = enrolled_home(tmp_path / "home")
    equip(home, model_folder=tmp_path)
    model = save_model(tmp_path / "model", "llama")
    ModelRegistry(home).add(model, model_id="acme/tiny", revision="r1")
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
    url = f"{API_PREFIX}/runs/run_1/adapters/adp_1"
    return assignment_for(
        contract, kind="verify", attempt=1, adapter_id="adp_1", adapter_sha256=sha256, adapter_url=url
    )


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


def test_a_site_with_rows_checks_no_more_adapters_of_a_contract_than_it_can_have(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> str:
        raise AppError("CL-1701", "The archive cannot be had.")

    monkeypatch.setattr(HubClient, "download", refuse)
    codes = []
    for number in range(TIMES + 1):
        folder = door.open(asked(door, f"{number:064x}"))
        assert run.main([str(folder.path)]) == 1
        result = folder.result()
        assert result is not None
        assert result.error is not None
        codes.append(result.error.code)
    assert codes == ["CL-1701"] * TIMES + ["CL-1428"]
