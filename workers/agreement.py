"""A contract in a few plain lines, for the person of a site who is to approve it."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from splitcore.config import RunConfig
from splitcore.config.crossing import crossing_sentences
from splitcore.errors import AppError
from workers.contracts import ContractDocument, Role

_PARTS = {Role.CLIENT: "trains", Role.SERVER: "computes", Role.EVALUATOR: "measures"}


def contract_lines(text: str, *, worker_id: str) -> list[tuple[str, str]]:
    """What is agreed, as (heading, words). Raises AppError CL-1425 for a text that is no contract."""
    try:
        contract = ContractDocument.model_validate(json.loads(text))
        config = RunConfig.parse(contract.config)
    except (ValueError, ValidationError, AppError):
        raise AppError("CL-1425", "The contract does not have the agreed form.") from None
    lines = [
        ("Run", f"{contract.run_name} in the project {contract.project} ({contract.run_id})"),
        ("Base model", f"{config.model.name_or_path} {config.model.revision or ''}".strip()),
    ]
    for part in contract.participants:
        own = config.for_party(part.party) if part.role is Role.CLIENT else config
        words = [f"{part.worker} of {part.organisation} {_PARTS[part.role]}"]
        if part.role is not Role.SERVER:
            words.append(f"on {part.dataset} v{part.dataset_version}" if part.dataset else "without rows")
        if part.role is Role.CLIENT:
            words.append(_cut(own.split))
        words.append("gets the adapter" if part.receives_adapter else "does not get the adapter")
        words.append(f"certificate {part.fingerprint}")
        lines.append(("This site" if part.worker_id == worker_id else "Partner", ", ".join(words)))
    steps = config.training.steps
    lines.append(("Length", f"{steps} steps" if steps is not None else f"{config.training.epochs} epochs"))
    lines += _steps(contract, config)
    lines += _terms(config)
    lines += [("Crosses", line) for line in _crossing(contract, config)]
    lines += [("Public prompt", prompt) for prompt in contract.public_prompts]
    return [(heading, printable(words)) for heading, words in lines]


def _crossing(contract: ContractDocument, config: RunConfig) -> list[str]:
    """Worked out here from the configuration; the contract's own words for it are the hub's, and are not shown."""
    clients = {part.party: part.organisation for part in contract.participants if part.role is Role.CLIENT}
    servers = [part.organisation for part in contract.participants if part.role is Role.SERVER]
    return crossing_sentences(config, clients, "".join(servers[:1]), prompts=bool(contract.public_prompts))


def _steps(contract: ContractDocument, config: RunConfig) -> list[tuple[str, str]]:
    """How many rows each step takes, of whom where the parties differ."""
    clients = [part for part in contract.participants if part.role is Role.CLIENT]
    sizes = {part.party: config.for_party(part.party).training.batch_size for part in clients}
    words = {size: f"{size} rows of at most {config.training.max_length} tokens" for size in sizes.values()}
    if len(words) < 2:
        return [("Step", text) for text in words.values()]
    return [("Step", f"{words[sizes[part.party]]} of {part.organisation} ({part.worker})") for part in clients]


def _terms(config: RunConfig) -> list[tuple[str, str]]:
    """Every other field that changes what leaves a site."""
    training, schedule, data, wire = config.training, config.schedule, config.data, config.wire
    relay = ", with its state handed on" if schedule.mode == "sequential" and schedule.relay else ""
    kept = "keeps every row's activations" if training.cache_activations else "keeps no activations between steps"
    changes = f", then changes as {wire.changes}" if wire.changes else ""
    measured = f"measured every {training.eval_every} steps" if training.eval_every else "measured at both ends"
    return [
        ("Schedule", f"{schedule.mode}{relay}"),
        ("Head", "is trained" if config.lora.train_head else "is not trained"),
        ("Compute site", kept),
        ("On the wire", f"activations as {wire.activations}{changes}, gradients as {wire.gradients}"),
        ("Loss", f"on {'the completion' if data.loss_on == 'completion' else 'all tokens'} of each row"),
        ("Held out", f"{data.eval_fraction:.4%} of the rows, where the dataset holds none out itself; {measured}"),
    ]


def printable(text: str) -> str:
    """The hub's words without control characters, which could rewrite a terminal, or turn what is read around."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in " ".join(text.split()))


def _cut(split: Any) -> str:
    if split.topology == "u_shape":
        return f"keeps the first {split.head_layers} and the last {split.tail_layers} layers and its labels"
    return f"keeps the first {split.head_layers} layers and SENDS ITS LABELS to the compute organisation"
