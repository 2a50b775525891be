"""grouping: four clients' micro-batches through the body as one batch, against one after another.

By tokens of a micro-batch: forward and backward of the body alone, as the server half runs them, with a shared adapter
and with one for each client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import torch

from splitcore.adapters.lora import adapter_layout, initialise, place
from splitcore.boundary.stages import At
from splitcore.config import RunConfig
from splitcore.models.carve import Segment
from splitcore.models.loading import load_segment, read_config
from splitcore.models.plan import segment_plans
from splitcore.optimise.optimiser import Optimiser
from splitcore.runtime.adapters import Bodies
from splitcore.runtime.interface import MicroBatch
from splitcore.runtime.passes import BodyPass
from splitcore.training.halves import named_adapter
from tests.benchmarks.frame import Scale, Table, figure, interleaved, ratios, show
from tests.benchmarks.models import run_config, saved_model

CLIENTS, LAYERS, WIDTH = 4, 6, 512
TOKENS = (16, 64, 256)


def measure(scale: Scale) -> dict[str, Any]:
    """Speed in a group ÷ speed one after another; `value` is that of 16 tokens with a shared adapter."""
    found: dict[str, Any] = {}
    with saved_model(scale.of(WIDTH, 256), LAYERS, vocabulary=512) as folder:
        config = run_config(folder, steps=1, rows=1, length=max(TOKENS))
        model_config = read_config(folder)
        body = load_segment(folder, segment_plans("u_shape", 1, 1, LAYERS)["body"], config.model)
        place(body.model, adapter_layout(model_config, config.lora), config.lora)
        initialise(body.model, 0)
        for own in (False, True):
            bodies = _bodies(body, config, own=own)
            for tokens in TOKENS:
                arms: dict[str, Callable[[], float]] = {
                    "alone": lambda n=tokens, b=bodies: _seconds(body, b, config, n, grouped=False),  # type: ignore[misc]
                    "grouped": lambda n=tokens, b=bodies: _seconds(body, b, config, n, grouped=True),  # type: ignore[misc]
                }
                runs = interleaved(scale.of(9, 3), arms)
                found[f"{'own' if own else 'shared'}_{tokens}"] = figure(ratios(runs, "alone", "grouped"))
    return {**found["shared_16"], "by_tokens": found}


def _bodies(body: Segment, config: RunConfig, *, own: bool) -> Bodies:
    parameters = named_adapter(body)
    parties = [f"p{number}" for number in range(CLIENTS)]
    return Bodies(body, parameters, Optimiser(parameters, config.training, 1), parties, own=own)


def _seconds(body: Segment, bodies: Bodies, config: RunConfig, tokens: int, *, grouped: bool) -> float:
    """Seconds of a forward and backward of all clients' micro-batches of one row."""
    width = int(body.model.config.hidden_size)
    mask_BL = torch.ones(1, tokens, dtype=torch.int64)

    def parcels() -> list[MicroBatch]:
        return [MicroBatch(f"p{number}", torch.randn(1, tokens, width), At(0, 0, mask_BL)) for number in range(CLIENTS)]

    best = float("inf")
    for _ in range(3):
        groups = [parcels()] if grouped else [[parcel] for parcel in parcels()]
        gradient_BLD = torch.randn(1, tokens, width)
        start = perf_counter()
        for group in groups:
            done = BodyPass(group, body=body, bodies=bodies, config=config, micro=0)
            done.backward([gradient_BLD for _ in group])
        best = min(best, perf_counter() - start)
    return best


def rows(result: Mapping[str, Any]) -> Table:
    """Speed-up by tokens of a micro-batch."""
    found = result["by_tokens"]
    body = [(str(tokens), show(found[f"shared_{tokens}"]), show(found[f"own_{tokens}"])) for tokens in TOKENS]
    columns = ("tokens of a micro-batch", "shared adapter", "an adapter each")
    return Table(f"grouping: {CLIENTS} clients in one body batch, speed ÷ one after another", columns, body)
