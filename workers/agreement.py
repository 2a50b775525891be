"""A contract in a few plain lines, for the person of a site who is to approve it."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from splitcore.config import RunConfig, config_read
from splitcore.errors import AppError
from splitcore.flows import Cast
from splitcore.flows.sentences import sentences_of
from workers.contracts import ContractDocument, Role

_PARTS = {Role.CLIENT: "trains", Role.SERVER: "computes", Role.EVALUATOR: "measures"}


def contract_lines(text: str, *, worker_id: str) -> list[tuple[str, str]]:
    """What is agreed, as (heading, words). Raises AppError CL-1425 for a text that is no contract."""
    try:
        contract = ContractDocument.model_validate(json.loads(text))
        config = config_read(contract.config, contract.contract_version)
    except AppError as error:
        if error.code == "CL-1008":
            raise
        raise AppError("CL-1425", "The contract doesn't have the expected form.") from None
    except (ValueError, ValidationError):
        raise AppError("CL-1425", "The contract doesn't have the expected form.") from None
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
        words.append("receives the adapter" if part.receives_adapter else "doesn't receive the adapter")
        words.append(f"certificate {part.fingerprint}")
        lines.append(("This site" if part.worker_id == worker_id else "Partner", ", ".join(words)))
    steps = config.training.steps
    lines.append(("Length", f"{steps} steps" if steps is not None else f"{config.training.epochs} epochs"))
    lines += _steps(contract, config)
    lines += _terms(config, sum(part.role is Role.CLIENT for part in contract.participants))
    lines += [("Leaves", line) for line in _crossing(contract, config)]
    lines += [("Public prompt", prompt) for prompt in contract.public_prompts]
    return [(heading, printable(words)) for heading, words in lines]


def _crossing(contract: ContractDocument, config: RunConfig) -> list[str]:
    """Worked out here from the configuration; the contract's own words for it are the hub's, and are not shown."""
    clients = {part.party: part.organisation for part in contract.participants if part.role is Role.CLIENT}
    servers = [part.organisation for part in contract.participants if part.role is Role.SERVER]
    return sentences_of(config, Cast(clients, "".join(servers[:1]), bool(contract.public_prompts)))


def _steps(contract: ContractDocument, config: RunConfig) -> list[tuple[str, str]]:
    """How many rows each step takes, of whom where the parties differ."""
    clients = [part for part in contract.participants if part.role is Role.CLIENT]
    sizes = {part.party: config.for_party(part.party).training.batch_size for part in clients}
    words = {size: f"{size} rows of at most {config.training.max_length} tokens" for size in sizes.values()}
    if len(words) < 2:
        return [("Step", text) for text in words.values()]
    return [("Step", f"{words[sizes[part.party]]} of {part.organisation} ({part.worker})") for part in clients]


def _terms(config: RunConfig, clients: int) -> list[tuple[str, str]]:
    """Every other field that changes what leaves a site."""
    training, schedule, data, wire, caches = config.training, config.schedule, config.data, config.wire, config.caches
    is_kept = any(cache.spares_rows for cache in caches)
    kept = "caches every row's activations" if is_kept else "caches no activations"
    later = "".join(cache.form() for cache in caches)
    measured = (
        f"evaluated every {training.eval_every} steps" if training.eval_every else "evaluated at the start and end"
    )
    return [
        ("Schedule", schedule.words()),
        ("Methods", ", ".join(map(str, config.methods)) or "none"),
        ("Defences", ", ".join(map(str, config.privacy.defences)) or "none"),
        ("Exchanged adapters", _exchanged(config, clients)),
        ("Head", "is trained" if config.lora.train_head else "is not trained"),
        ("Compute site", kept),
        ("On the wire", f"activations as {wire.activations}{later}, gradients as {wire.gradients}"),
        ("Rows", "as prompt and completion" if data.template == "plain" else "in the tokenizer's chat template"),
        ("Loss", f"on {'the completion' if data.loss_on == 'completion' else 'all tokens'} of each row"),
        ("Held out", f"{data.eval_fraction:.4%} of the rows, if the dataset has no held-out part; {measured}"),
    ]


def _exchanged(config: RunConfig, clients: int) -> str:
    """Who reads what the data organisations exchange of head and tail."""
    if not config.schedule.exchange(clients).ends_cross:
        return "none"
    return "masked or encrypted" if config.privacy.masks_sums else "readable by the compute site"


def printable(text: str) -> str:
    """The hub's words without control characters, which could rewrite a terminal, or turn what is read around."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in " ".join(text.split()))


def _cut(split: Any) -> str:
    if split.topology == "u_shape":
        return f"keeps the first {split.head_layers} and the last {split.tail_layers} layers and its labels"
    return f"keeps the first {split.head_layers} layers and SENDS ITS LABELS to the compute organisation"
