"""A contract in a few plain lines, for the person of a site who is to approve it."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from splitcore.config import RunConfig
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
    lines += [("As stated", line) for line in contract.traffic]
    lines += [("Public prompt", prompt) for prompt in contract.public_prompts]
    return [(heading, printable(words)) for heading, words in lines]


def printable(text: str) -> str:
    """The hub's words without control characters, which could rewrite a terminal, or turn what is read around."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in " ".join(text.split()))


def _cut(split: Any) -> str:
    if split.topology == "u_shape":
        return f"keeps the first {split.head_layers} and the last {split.tail_layers} layers and its labels"
    return f"keeps the first {split.head_layers} layers and SENDS ITS LABELS to the compute organisation"
