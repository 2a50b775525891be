"""What of a configuration a run with these parties can honour: checked before anything is loaded (torch-free)."""

from __future__ import annotations

from collections.abc import Sequence

from splitcore.config.run import RunConfig

SAME_CUT = "All organisations in a run need the same cut. Leave this empty, or change it for all under Split."
SAME_RANK = "Shared adapters need the same rank. Leave this empty, or let each organisation keep its own head and tail."

OWN_ENDS = "{} needs a schedule in which each organisation keeps its own head and tail."


def override_problems(config: RunConfig, parties: Sequence[str]) -> list[dict[str, str]]:
    """What is wrong with a configuration for these data parties: field (dotted) and message; empty if nothing is."""
    kept_together = len(parties) > 1 and not config.schedule.exchange(len(parties)).own_ends
    found = []
    if kept_together:
        found += [
            ("privacy.defences", OWN_ENDS.format(one.name)) for one in config.cut_strategies if one.needs_own_ends
        ]
    for name, override in config.parties.items():
        own = config.for_party(name)
        where = f"parties.{name}"
        if name not in parties:
            found.append((where, f"'{name}' isn't a data party of this run."))
            continue
        for cut in ("head_layers", "tail_layers"):
            if getattr(override, cut) is not None and getattr(own.split, cut) != getattr(config.split, cut):
                found.append((f"{where}.{cut}", SAME_CUT))
        if own.lora.rank != config.lora.rank and kept_together:
            found.append((f"{where}.rank", SAME_RANK))
        if own.training.batch_size % config.training.micro_batches:
            sentence = f"{own.training.batch_size} rows can't be split into {config.training.micro_batches} equal parts"
            found.append((f"{where}.batch_size", f"{sentence} (Micro-batches, under Training)."))
    return [{"field": field, "message": message} for field, message in found]
