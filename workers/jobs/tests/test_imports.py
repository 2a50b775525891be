"""What comes over the wire names code that could be imported here, and none of it is: no module more is loaded."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from splitcore.adapters.tests.test_join import parts
from splitcore.models.tests.tiny import save_model
from workers.jobs.tests.door import Door
from workers.outbox.spool import Spool
from workers.tests.support import assignment_for, contract_for, enrolled_home, equip

REPO = Path(__file__).resolve().parents[3]
EVIL = "cutlayer_evil"  # a module that the half's process could import
MONITOR = """
import importlib, json, sys
from pathlib import Path
from splitcore.adapters.join import join_segments
from splitcore.adapters.peft_config import Terms
from splitcore.config import ModelSection
from splitcore.errors import AppError
from splitcore.models.loading import load_whole, read_tokenizer
from workers.jobs.run import main

def take(kind, folder):
    if kind == "job":
        main([folder])
        return
    if kind == "model":
        load_whole(Path(folder), ModelSection(name_or_path=folder))
        assert len(read_tokenizer(Path(folder))("text")["input_ids"]) > 0
        return
    try:
        join_segments(sorted(Path(folder).iterdir()), Path(folder + "-out"), terms=Terms(4.0, 0.0, frozenset({2})))
    except AppError:
        pass

benign, hostile = json.loads(sys.argv[1])
for kind, folder in benign:
    take(kind, folder)
known = set(sys.modules)
for kind, folder in hostile:
    take(kind, folder)
found = sorted(set(sys.modules) - known)
importlib.import_module(sys.argv[2])  # it could have been
print("monitor", json.dumps(found))
"""


def name_everywhere(contract: dict[str, Any]) -> None:
    contract.update(run_name=EVIL, project=EVIL, public_prompts=[f"!!python/object/apply:{EVIL}.run []"])


def remote_code(contract: dict[str, Any]) -> None:
    contract["config"]["model"].update(trust_remote_code=True, auto_map={"AutoModelForCausalLM": f"{EVIL}.Model"})


def model_of_code(contract: dict[str, Any]) -> None:
    contract["config"]["model"]["name_or_path"] = f"{EVIL}:Model"


def own_fields(contract: dict[str, Any]) -> None:
    contract["config"]["callbacks"] = [f"{EVIL}.run"]


CONTRACTS: list[Callable[[dict[str, Any]], None]] = [name_everywhere, remote_code, model_of_code, own_fields]
ADAPTERS: list[dict[str, Any]] = [
    {"auto_mapping": {"base_model_class": "Model", "parent_library": EVIL}},
    {"megatron_core": EVIL, "megatron_config": {"a": 1}},
    {"peft_type": EVIL},
]


@pytest.mark.promise(14, figure="no module more than in a lawful run")
def test_hostile_contracts_and_adapters_import_nothing_into_the_half_s_process(tmp_path: Path) -> None:
    (tmp_path / f"{EVIL}.py").write_text("")
    model = save_model(tmp_path / "model", "llama")
    benign = [
        ("model", str(model)),
        ("job", str(job(tmp_path / "lawful"))),
        ("adapter", str(adapter(tmp_path / "segments"))),
    ]
    hostile = [("job", str(job(tmp_path / change.__name__, change))) for change in CONTRACTS]
    hostile += [("model", str(model_with_code(model, tmp_path / "model-of-code")))]
    hostile += [("adapter", str(adapter(tmp_path / f"odd-{place}", odd))) for place, odd in enumerate(ADAPTERS)]
    done = subprocess.run(
        [sys.executable, "-c", MONITOR, json.dumps([benign, hostile]), EVIL],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        stdout=subprocess.PIPE,
        timeout=180,
        check=True,
    )
    [told] = [line for line in done.stdout.splitlines() if line.startswith(b"monitor ")]
    assert json.loads(told.removeprefix(b"monitor ")) == []


def job(root: Path, change: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """A job of a worker of its own, with a changed contract."""
    home = enrolled_home(root)
    equip(home, model_folder=root / "no-model")
    contract = copy.deepcopy(contract_for(home))
    if change is not None:
        change(contract)
    return Door(home, Spool(home.spool_file)).open(assignment_for(contract)).path


def model_with_code(model: Path, folder: Path) -> Path:
    """A base model whose files ask for code of its own, which lies beside them."""
    shutil.copytree(model, folder)
    (folder / f"{EVIL}.py").write_text("")
    asked = {
        "config.json": {"AutoConfig": f"{EVIL}.Config", "AutoModelForCausalLM": f"{EVIL}.Model"},
        "tokenizer_config.json": {"AutoTokenizer": [f"{EVIL}.Tokenizer", f"{EVIL}.Tokenizer"]},
    }
    for name, auto_map in asked.items():
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(content | {"auto_map": auto_map}))
    return folder


def adapter(root: Path, changes: dict[str, Any] | None = None) -> Path:
    """The segments of an adapter, whose configurations say more than they may."""
    root.mkdir()
    for folder in parts(root):
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps(config | (changes or {})))
    return root
