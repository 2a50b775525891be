"""How near training comes to a matrix product's rate: `python -m docs.measure_speed` prints a table.

What docs/methods/time-estimate.md states. Probe and training alternate, and the fastest of each counts, so that other
load on the machine spoils as little as possible.
"""

from __future__ import annotations

import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from splitcore import RunConfig
from splitcore.planning.measure import measure as measure_model
from splitcore.planning.prior import HALF_WIDTH
from splitcore.planning.segments import segments_of
from splitcore.planning.timing import step_operations
from workers.speed import measure

CASES = (  # width, layers, vocabulary, rows, tokens
    (128, 6, 2000, 8, 64),
    (256, 8, 4000, 8, 128),
    (512, 6, 8000, 4, 256),
    (1024, 4, 16000, 2, 256),
    (2048, 2, 32000, 1, 256),
)
TRIES = 5


def case(width: int, layers: int, vocabulary: int, rows: int, tokens: int) -> tuple[float, float]:
    """(rate of training, rate of the probe) in operations a second."""
    config = LlamaConfig(
        hidden_size=width,
        intermediate_size=width * 11 // 4,
        num_hidden_layers=layers,
        vocab_size=vocabulary,
        num_attention_heads=max(2, width // 64),
        num_key_value_heads=max(2, width // 64),
    )
    model = get_peft_model(LlamaForCausalLM(config), LoraConfig(r=8, target_modules="all-linear"))
    run = RunConfig.parse({"model": {"name_or_path": "none"}, "split": {"head_layers": 1, "tail_layers": 0}})
    shape = measure_model(config)
    operations = sum(step_operations(shape, segments_of(run, shape), rows * tokens, tokens))
    ids_BL = torch.randint(0, vocabulary, (rows, tokens))
    best, probe = float("inf"), 0.0
    for _ in range(TRIES):
        start = time.perf_counter()
        model(input_ids=ids_BL, labels=ids_BL).loss.backward()
        best, probe = min(best, time.perf_counter() - start), max(probe, measure().float32)
    return operations / best, probe


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    lines = [
        "| hidden width | training, GFLOP/s | share of the probe | width ÷ (width + 500) |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for one in CASES:
        rate, probe = case(*one)
        lines.append(f"| {one[0]} | {rate / 1e9:.0f} | {rate / probe:.2f} | {one[0] / (one[0] + HALF_WIDTH):.2f} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
