"""Which tokenizer files a site sends for the archive: those of the manifest, from one site of a run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from splitcore.config import canonical_json
from workers.contracts import Assignment
from workers.jobs.kinds.train.tokenizer import tokenizer_uploads
from workers.models_registry import ModelRegistry
from workers.settings import WorkerHome
from workers.tests.support import assignment_for, contract_for, enrolled_home

BASE = Path(__file__).resolve().parents[3] / "demo" / "base_model"


def _assignment(home: WorkerHome, manifest: str | None) -> Assignment:
    contract = contract_for(home)
    contract["config"]["model"]["manifest"] = manifest
    return assignment_for(canonical_json(contract))


def test_the_manifest_comes_first_and_each_file_as_it_is_pinned(tmp_path: Path) -> None:
    home = enrolled_home(tmp_path / "home", "http://hub.test")
    manifest = ModelRegistry(home).add(BASE, model_id="acme/tiny").manifest_hash
    sent = tokenizer_uploads(home, _assignment(home, manifest), tmp_path)
    assert [path.name for path, _ in sent] == ["manifest.json", "tokenizer.json", "tokenizer_config.json"]
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == digest for path, digest in sent)
    assert sent[0][1] == manifest
    assert json.loads(sent[0][0].read_bytes())["model"] == "acme/tiny"


def test_another_training_site_and_a_contract_without_a_manifest_send_none(tmp_path: Path) -> None:
    home = enrolled_home(tmp_path / "home", "http://hub.test")
    manifest = ModelRegistry(home).add(BASE, model_id="acme/tiny").manifest_hash
    second = _assignment(home, manifest).model_copy(update={"party": "zeta"})
    assert tokenizer_uploads(home, second, tmp_path) == []
    assert tokenizer_uploads(home, _assignment(home, None), tmp_path) == []
    assert tokenizer_uploads(home, _assignment(home, "e" * 64), tmp_path) == []
