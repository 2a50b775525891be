"""The run's adapter, downloaded over HTTP and measured in a process that imports nothing of ours."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

from demo.launch.groups import BASE_MODEL, REPO, DemoError
from demo.launch.stage import DATA_PARTIES, Stage
from processes.children import run_child


def download_adapter(stage: Stage, run_id: str, folder: Path) -> Path:
    """Download and unpack the run's adapter; returns the PEFT folder."""
    rest = stage.parties["clinic"].rest
    [adapter] = [one for one in rest.get("/adapters")["items"] if one["run"] == run_id]
    archive = folder / f"{run_id}.zip"
    rest.download(f"/adapters/{adapter['id']}/download", archive)
    with zipfile.ZipFile(archive) as zipped:
        names = zipped.namelist()
        if any(name.startswith(("/", "\\")) or ".." in Path(name).parts for name in names):
            raise DemoError("The adapter's archive contains a path outside itself.")
        zipped.extractall(folder / run_id)
    [config] = (folder / run_id).rglob("adapter_config.json")
    return config.parent


def measure(adapter: Path, files: list[Path], canary: Path | None) -> dict[str, Any]:
    """What plain peft makes of the adapter on the unsplit base model."""
    command = [sys.executable, "-I", str(REPO / "demo" / "verify_adapter.py"), str(BASE_MODEL), str(adapter)]
    command += [str(path) for path in files]
    if canary is not None:
        command += ["--canary", str(canary)]
    # one thread: two that wait for each other burn far more time than they save beside the demo's other processes
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = run_child(command, env=environment, timeout=300)
    if done.returncode:
        raise DemoError(f"Plain peft could not use the adapter:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def heldout_files(stage: Stage) -> list[Path]:
    """Held-out rows of both domains, as they were given to the workers."""
    return [stage.files / f"{key}_heldout.jsonl" for key in DATA_PARTIES]


def newest_canary(home: Path, run_id: str) -> Path | None:
    """The split model's logits on the public prompts, kept by the client half beside its checkpoint."""
    found = sorted((home / "jobs").rglob("canary.safetensors"), key=lambda path: path.stat().st_mtime)
    ours = [path for path in found if run_id in str(path)]
    return ours[-1] if ours else None
