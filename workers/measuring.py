"""The layout of this site's base models, measured on the model itself from its configuration, without weights.

`python -m workers.measuring FOLDER` measures and prints JSON: a process of its own, so that the agent loads no torch
and no configuration can do it harm.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pydantic import ValidationError

from processes.children import run_child
from splitcore.errors import AppError
from workers.facts import package_version
from workers.models_registry import Measure, Measured, ModelRegistry

TIMEOUT = 600.0  # importing torch from a cold disk, then a model of many layers


def measure_here(folder: Path) -> Measured:
    """Measure in this process, which loads torch."""
    from splitcore.planning.measure import measure_folder

    try:
        return Measured(by=_version(), shape=measure_folder(folder))
    except AppError as error:
        return Measured(by=_version(), reason=error.message)


def measure_apart(folder: Path) -> Measured:
    """Measure in a process of its own."""
    try:
        answer = run_child([sys.executable, "-m", "workers.measuring", folder], env=os.environ, timeout=TIMEOUT)
        return Measured.model_validate_json(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValidationError) as error:
        return Measured(by=_version(), reason=f"Measuring did not end well ({type(error).__name__}).")


def measure_missing(registry: ModelRegistry, *, measure: Measure = measure_apart) -> bool:
    """Measure what this version has not measured yet. Whether a layout is known now that was not, or was another."""
    found = False
    for model in registry.all():
        before = registry.measured(model.manifest_hash)
        if before is None or before.by != _version():
            after = measure(model.folder)
            registry.keep_measured(model.manifest_hash, after)
            found |= after.shape is not None and (before is None or after.shape != before.shape)
    return found


def _version() -> str:
    """What a layout may depend on: modules are named by the library."""
    return " ".join(f"{name} {package_version(name)}" for name in ("cutlayer", "transformers"))


if __name__ == "__main__":
    sys.stdout.write(measure_here(Path(sys.argv[1])).model_dump_json())
