"""The adapter page's snippet works as shown: in a clean process that imports nothing of ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from webapp.adapters.card import snippet
from webapp.adapters.models import Adapter
from webapp.runs.models import Run

BASE = Path(__file__).resolve().parents[2] / "demo" / "base_model"
MAKE_ADAPTER = """
import sys
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(sys.argv[2])
"""


def _python(code: str, *arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_snippet_of_the_adapter_page_runs_in_a_clean_process(tmp_path: Path) -> None:
    _python(MAKE_ADAPTER, str(BASE), str(tmp_path / "adapter"), cwd=tmp_path)
    run = Run(config={"model": {"name_or_path": str(BASE)}}, public_prompts=['Note: the "quoted" word.\nSummary:'])
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(BASE / name, tmp_path / "adapter")  # as the archive holds them, without the base's config.json
    text = snippet(Adapter(run=run, provenance={"tokenizer_stands_alone": True}), "adapter")
    assert 'AutoTokenizer.from_pretrained("adapter")' in text
    assert "webapp" not in text
    assert "splitcore" not in text
    printed = _python(text, cwd=tmp_path)
    assert "Summary:" in printed
