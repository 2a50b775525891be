"""Pre-training of the demo's base model, from its seed: ``make demo-model``.

The model learns from text that the project generates (demo/text): it sees every example once. The weights of the
layers are trained with Muon and the rest with AdamW, in bf16 autocast. An interrupted training continues from its
last checkpoint under var/demo-model/.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from demo.base import FOLDER, measure, new_model
from demo.model_card import write_card
from demo.text.batches import block_batch
from demo.tokenizer import save_tokenizer, train_tokenizer


@dataclass(frozen=True)
class Recipe:
    """Everything that the result depends on."""

    seed: int = 20
    steps: int = 1500
    blocks: int = 48
    length: int = 128
    muon_lr: float = 0.006
    adam_lr: float = 0.003
    # The learning rate: up over the warm-up, along a cosine that would end at the horizon, to zero in the cool-down.
    warmup: int = 100
    horizon: int = 2100
    cooldown: int = 500
    # Plain copying alone at first: the model then looks back early, and the other tasks build on that.
    copying_steps: int = 200
    clip_norm: float = 1.0
    measure_every: int = 250
    threads: int = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the tokenizer and the model and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--work", type=Path, default=Path("var/demo-model"), help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument(
        "--stop-after", type=int, help="stop after this step, to take a look (the schedule is unchanged)"
    )
    options = parser.parse_args(arguments)
    recipe = Recipe(steps=options.steps)
    torch.set_num_threads(recipe.threads)
    tokenizer = train_tokenizer(recipe.seed)
    model = new_model(tokenizer, recipe.seed)
    seconds = train(model, tokenizer, recipe, options.work, options.stop_after or recipe.steps)
    torch.nn.Module.to(model, torch.bfloat16)
    model.save_pretrained(options.out)
    save_tokenizer(tokenizer, options.out)
    examples = 256
    figures = measure(model.float(), tokenizer, recipe.seed + 1, examples)
    print(json.dumps(figures, indent=2))
    write_card(
        options.out,
        asdict(recipe),
        figures,
        examples=examples,
        parameters=model.num_parameters(),
        seconds=seconds,
    )


def train(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, work: Path, stop: int) -> float:
    """Train ``model`` in place, continuing from a checkpoint where there is one; return the seconds it took."""
    optimisers = make_optimisers(model, recipe)
    checkpoint = Checkpoint(work / "checkpoint.safetensors", recipe)
    first, seconds = checkpoint.restore(model, optimisers)
    began = time.monotonic() - seconds
    for step in range(first, stop):
        set_rates(optimisers, schedule(step, recipe))
        copying = 1.0 if step < recipe.copying_steps else 0.0
        rng = Random(f"{recipe.seed} {step}")
        ids, learned = block_batch(tokenizer.backend_tokenizer, rng, recipe.blocks, recipe.length, copying)
        loss = masked_loss(model, torch.from_numpy(ids), torch.from_numpy(learned))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        if step % 20 == 0:
            print(f"step {step} loss {loss.item():.4f} seconds {time.monotonic() - began:.0f}", flush=True)
        if (step + 1) % recipe.measure_every == 0:
            checkpoint.save(model, optimisers, step + 1, time.monotonic() - began)
            print(step + 1, json.dumps(measure(model, tokenizer, recipe.seed)), flush=True)
    return time.monotonic() - began


def masked_loss(model: LlamaForCausalLM, ids_BL: torch.Tensor, learned_BL: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of the tokens that ``learned_BL`` marks, each predicted from those before it."""
    with torch.autocast("cpu", torch.bfloat16):
        hidden_BLD = model.model(input_ids=ids_BL).last_hidden_state
        wanted_BL = learned_BL[:, 1:]
        logits_NV = model.lm_head(hidden_BLD[:, :-1][wanted_BL])
    return cross_entropy(logits_NV.float(), ids_BL[:, 1:][wanted_BL])


def make_optimisers(model: LlamaForCausalLM, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Return Muon for the layers' matrices and AdamW for the embedding and the norms."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "layers" in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "layers" not in name]
    muon = torch.optim.Muon(matrices, lr=recipe.muon_lr, weight_decay=0.02, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(others, lr=recipe.adam_lr, betas=(0.9, 0.98), weight_decay=0.0)
    for optimiser in (muon, adam):
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    return [muon, adam]


def schedule(step: int, recipe: Recipe) -> float:
    """Return the share of the peak learning rate: a warm-up, a slow cosine, and a straight line to zero at the end."""
    warm = min(1.0, (step + 1) / recipe.warmup)
    progress = max(0, step - recipe.warmup) / (recipe.horizon - recipe.warmup)
    cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))
    return warm * cosine * min(1.0, (recipe.steps - step) / recipe.cooldown)


def set_rates(optimisers: list[torch.optim.Optimizer], scale: float) -> None:
    """Set every group's learning rate to its peak times ``scale``."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * scale


class Checkpoint:
    """The state of an unfinished training as one safetensors file, valid for one recipe only."""

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.path = path
        self.recipe = json.dumps(asdict(recipe), sort_keys=True)

    def save(self, model: LlamaForCausalLM, optimisers: list[torch.optim.Optimizer], step: int, seconds: float) -> None:
        """Write weights and optimiser states after ``step`` steps."""
        tensors = {f"model.{name}": value.detach() for name, value in model.named_parameters()}
        for number, optimiser in enumerate(optimisers):
            for index, state in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{number}.{index}.{name}": value for name, value in state.items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        save_file(tensors, partial, {"recipe": self.recipe, "step": str(step), "seconds": str(seconds)})
        partial.replace(self.path)

    def restore(self, model: LlamaForCausalLM, optimisers: list[torch.optim.Optimizer]) -> tuple[int, float]:
        """Load what was saved under the same recipe; return the steps done and the seconds spent."""
        if not self.path.exists():
            return 0, 0.0
        with safe_open(self.path, "pt") as file:
            about = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if about["recipe"] != self.recipe:
            return 0, 0.0
        with torch.no_grad():
            for name, value in model.named_parameters():
                value.copy_(tensors[f"model.{name}"])
        for number, optimiser in enumerate(optimisers):
            state: dict[int, dict[str, torch.Tensor]] = {}
            for key, value in tensors.items():
                if key.startswith(f"optimiser.{number}."):
                    _, _, index, name = key.split(".", 3)
                    state.setdefault(int(index), {})[name] = value
            optimiser.load_state_dict(optimiser.state_dict() | {"state": state})
        return int(about["step"]), float(about["seconds"])


if __name__ == "__main__":
    main()
