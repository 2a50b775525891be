"""memory_8_clients: the server process with 8 clients, against one client and what 7 more bring of their own.

A client brings its activations of the micro-batches in flight, counted at autograd's hooks, and its sum of the body's
gradients (the body's adapter is shared; where it is not, its moments too). The base weights must be there once. Memory
is the largest resident size less what the process held when it began.
"""

from __future__ import annotations

from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from splitcore.adapters.lora import adapter_parameters
from splitcore.config import RunConfig
from splitcore.models.carve import hidden_width
from splitcore.run.plan import run_plan
from splitcore.run.settings import HalfSettings
from splitcore.training.halves import load_with_adapter
from tests.benchmarks.children import child
from tests.benchmarks.client_peak import own
from tests.benchmarks.frame import Scale, Table, figure, interleaved, show
from tests.benchmarks.halves import SERVER, run_split
from tests.benchmarks.models import run_config, saved_model

CLIENTS = 8
LAYERS, WIDTH, VOCABULARY = 8, 1024, 512
ROWS, LENGTH = 1, 64
MB = 1e6


def measure(scale: Scale) -> dict[str, Any]:
    """(Peak with 8 clients − what 7 of them bring) ÷ peak with one."""
    with saved_model(scale.of(WIDTH, 768), LAYERS, vocabulary=VOCABULARY) as folder:

        def peaks(recompute: bool) -> dict[str, int]:
            config = run_config(
                folder,
                steps=3,
                rows=ROWS,
                length=LENGTH,
                split={"head_layers": 0, "tail_layers": 0},
                training={"gradient_checkpointing": recompute},
            )
            with child(_brought, config) as pipe:
                brought = pipe.recv()
            one, eight = (own(run_split(config, parties=count)[SERVER]) for count in (1, CLIENTS))
            return {"one": one, "eight": eight, "own": brought}

        runs = interleaved(scale.of(2, 1), {"held": lambda: peaks(False), "recomputed": lambda: peaks(True)})
    found = {
        name: figure(
            [(one[name]["eight"] - (CLIENTS - 1) * one[name]["own"]) / one[name]["one"] for one in runs],
            **{f"{part}_mb": figure([one[name][part] / MB for one in runs]) for part in ("one", "eight", "own")},
        )
        for name in ("held", "recomputed")
    }
    return {**found["held"], "recomputed": found["recomputed"]}


def rows(result: Mapping[str, Any]) -> Table:
    """Held and recomputed."""
    body = [
        (name, show(one, 3), *(show(one[f"{part}_mb"], 0) for part in ("eight", "one", "own")))
        for name, one in (("held", result), ("recomputed", result["recomputed"]))
    ]
    columns = ("activations", "share", "8 clients MB", "1 client MB", "a client's own MB")
    return Table("memory_8_clients: the server process", columns, body, "target: 1.25 at most")


def _brought(pipe: Connection, config: RunConfig) -> None:
    """Bytes of one client's activations in flight, and of its gradients of the body."""
    torch.set_num_threads(1)
    folder = config.model.name_or_path
    plan = run_plan(HalfSettings(config=config, parties=["p0"], model_source=folder, out=Path(folder)))
    body = load_with_adapter(plan, "body", plan.layout(config.lora), config.lora)
    weights = {parameter.data_ptr() for parameter in body.model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    training = config.training
    hidden_BLD = torch.zeros(
        training.batch_size // training.micro_batches, training.max_length, hidden_width(plan.model_config)
    )
    mask_BL = torch.ones(hidden_BLD.shape[:2], dtype=torch.int64)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output_BLD = body(mask_BL, hidden_BLD=hidden_BLD.requires_grad_())
    gradients = sum(parameter.numel() * 4 for _, parameter in adapter_parameters(body.model))
    pipe.send(training.micro_batches * (sum(kept.values()) + output_BLD.nbytes) + gradients)
