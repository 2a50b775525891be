"""Split learning in one process, flat: `python examples/split_loop.py [MODEL_FOLDER]`.

A data party holds the first and the last layers, and the text; a compute party the layers between. The lines marked ~
are where tensors cross. This is what `splitcore/step/walk.py` does over a network, and its losses are the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from splitcore.adapters.lora import adapter_layout, initialise, place
from splitcore.config import RunConfig
from splitcore.data.batches import collate, padding_id
from splitcore.data.sampling import Sampler
from splitcore.data.tokenise import encode_rows
from splitcore.models.carve import Segment, layer_count
from splitcore.models.loading import load_segment, read_config, read_tokenizer
from splitcore.models.plan import segment_plans
from splitcore.optimise.loss import loss_sum
from splitcore.optimise.norms import norms_vector, total_norm
from splitcore.optimise.optimiser import Optimiser
from splitcore.optimise.update import update
from splitcore.training.halves import named_adapter

ROWS = [{"prompt": f"{number} and {number} are", "completion": f" {2 * number}"} for number in range(1, 17)]


def train(config: RunConfig, rows: list[dict[str, str]], party: str = "a") -> list[float]:
    """The mean loss over each step's target tokens."""
    folder, steps = Path(config.model.name_or_path), config.training.steps or 1
    model_config, tokenizer = read_config(folder), read_tokenizer(folder)
    plans = segment_plans("u_shape", config.split.head_layers, config.split.tail_layers, layer_count(model_config))
    layout = adapter_layout(model_config, config.lora)

    def segment(role: str) -> Segment:
        found = load_segment(folder, plans[role], config.model)  # type: ignore[index]
        place(found.model, layout, config.lora)
        initialise(found.model, config.training.seed)
        return found

    head, body, tail = segment("head"), segment("body"), segment("tail")
    adapters = {"client": named_adapter(head, tail), "server": named_adapter(body)}
    optimisers = {side: Optimiser(own, config.training, steps) for side, own in adapters.items()}
    encoded = encode_rows(rows, tokenizer, config.data, config.training.max_length)
    sampler = Sampler(len(rows), config.training.batch_size, seed=config.training.seed, party=party, shuffle=True)

    losses = []
    for step in range(steps):
        batch = collate([encoded[index] for index in sampler.batch(step)], padding=padding_id(tokenizer))

        hidden_BLD = head(batch.mask_BL, ids_BL=batch.ids_BL)  # client: tokens → hidden states
        up_BLD = hidden_BLD.detach().requires_grad_()  # ~ activations up

        body_BLD = body(batch.mask_BL, hidden_BLD=up_BLD)  # server: sees neither tokens nor labels
        down_BLD = body_BLD.detach().requires_grad_()  # ~ activations down

        logits_BLV = tail(batch.mask_BL, hidden_BLD=down_BLD)  # client: hidden states → scores, loss and backward
        summed = loss_sum(logits_BLV, batch.labels_BL)
        torch.autograd.backward(summed / batch.targets)
        losses.append(summed.item() / batch.targets)

        torch.autograd.backward(body_BLD, down_BLD.grad)  # ~ gradient up; server: backward
        torch.autograd.backward(hidden_BLD, up_BLD.grad)  # ~ gradient down; client: backward

        gradients = {name: value.grad for own in adapters.values() for name, value in own.items()}
        norm = total_norm(norms_vector(gradients, layout.order(set(gradients))))  # ~ one number per tensor up
        for side, own in adapters.items():  # ~ the norm down; then each side by itself
            mine = {name: gradients[name] for name in own}
            clip_norm = config.training.clip_norm
            update(own, mine, norm, optimiser=optimisers[side], step=step, clip_norm=clip_norm)
    return losses


if __name__ == "__main__":
    model = sys.argv[1] if len(sys.argv) > 1 else str(Path(__file__).parents[1] / "demo" / "base_model")
    training = {"steps": 20, "batch_size": 4, "learning_rate": 1e-3}
    cut = {"head_layers": 1, "tail_layers": 1}
    found = train(RunConfig.parse({"model": {"name_or_path": model}, "split": cut, "training": training}), ROWS)
    for number, loss in enumerate(found, start=1):
        print(f"step {number}: {loss:.3f}")
