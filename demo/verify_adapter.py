"""Load an adapter with plain peft on the unsplit base model, and measure it. Imports nothing of Cutlayer.

Usage: python -I demo/verify_adapter.py BASE ADAPTER HELDOUT.jsonl … [--prompts FILE --logits FILE]
Prints JSON: the token-weighted mean loss over the held-out completions, the keys that matched, and, where the split
model's logits are given, the largest difference from them.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

BATCH = 20


def encode(tokenizer: Any, row: dict[str, str]) -> tuple[list[int], list[int]]:
    """Token ids and labels: prompt, completion, end; the loss counts the completion and the end."""
    prompt = tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]
    if tokenizer.bos_token_id is not None:
        prompt = [tokenizer.bos_token_id, *prompt]
    target = tokenizer(row["completion"], add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    return prompt + target, [-100] * len(prompt) + target


def padded(rows: list[list[int]], value: int) -> torch.Tensor:
    """Rows of one length, filled up on the right."""
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


@torch.no_grad()
def mean_loss(model: Any, tokenizer: Any, rows: list[dict[str, str]]) -> float:
    """Mean cross-entropy over every target token of the rows."""
    total, count = 0.0, 0
    encoded = sorted((encode(tokenizer, row) for row in rows), key=lambda pair: len(pair[0]))
    for start in range(0, len(encoded), BATCH):
        part = encoded[start : start + BATCH]
        ids, labels = padded([pair[0] for pair in part], 0), padded([pair[1] for pair in part], -100)
        mask = padded([[1] * len(pair[0]) for pair in part], 0)
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
        targets = labels[:, 1:]
        total += torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), targets, ignore_index=-100, reduction="sum"
        ).item()
        count += int((targets != -100).sum())
    return total / count


def main() -> None:
    """Load, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("heldout", type=Path, nargs="+")
    parser.add_argument(
        "--canary", type=Path, help="safetensors with input_ids, attention_mask and the split model's logits"
    )
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(options.base)
    base = AutoModelForCausalLM.from_pretrained(options.base, dtype=torch.float32).eval()
    rows = [json.loads(line) for path in options.heldout for line in path.read_text().splitlines()]
    result: dict[str, Any] = {"base_loss": mean_loss(base, tokenizer, rows), "rows": len(rows)}
    stored = set(load_file(options.adapter / "adapter_model.safetensors"))
    model = PeftModel.from_pretrained(base, options.adapter).eval()
    loaded = {name.replace(".default.", ".") for name in model.state_dict() if "lora_" in name}
    result |= {"loads": loaded == stored, "tensors": len(stored), "loss": mean_loss(model, tokenizer, rows)}
    if options.canary is not None:
        canary = load_file(options.canary)
        with torch.no_grad():
            logits = model(input_ids=canary["input_ids"], attention_mask=canary["attention_mask"]).logits.float()
        kept = canary["attention_mask"].bool()
        result["max_difference"] = (logits - canary["logits"])[kept].abs().max().item()
    ours = [name for name in sys.modules if name.split(".")[0] in {"splitcore", "workers", "webapp", "demo"}]
    result["imports_of_ours"] = ours
    print(json.dumps(result))


if __name__ == "__main__":
    main()
