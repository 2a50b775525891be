"""What crosses between the organisations of a run, from whom to whom, in words (torch-free).

The hub writes it into the contract, and a worker works it out for itself, for the people who are to approve.
"""

from __future__ import annotations

from collections.abc import Sequence

from splitcore.config.exchange import exchange_of
from splitcore.config.run import RunConfig


def crossing_sentences(
    config: RunConfig, clients: Sequence[str], server: str = "", *, prompts: bool = False
) -> list[str]:
    """What crosses between the data organisations `clients` and the compute organisation `server`."""
    server = server or "the compute site"
    names = " and ".join(dict.fromkeys(clients)) or "each data organisation"
    wire, vanilla = config.wire, config.split.topology == "vanilla"
    lines = [
        f"{names} → {server}: activations after the first {_layers(config.split.head_layers)}, as {wire.activations}.",
        f"{names} → {server}: with them which positions are filled, so the length of each row; the number of rows, and"
        " the number of target tokens in each step.",
        *_memory_sentences(config, names, server),
    ]
    if config.lora.train_head:
        lines.append(f"{server} → {names}: gradients of those activations, as {wire.gradients}.")
    if vanilla:
        lines.append(f"{names} → {server}: the labels, that is, the target tokens themselves.")
    else:
        lines.append(f"{server} → {names}: activations for the last {_layers(config.split.tail_layers)}.")
        lines.append(f"{names} → {server}: gradients of those activations. Labels are not sent, but may be inferred.")
    lines += [f"{names} ⇄ {server}: {what}." for what in adapter_traffic(config, len(clients))]
    if not exchange_of(config.schedule, len(clients)).gradients:
        lines.append(f"{names} ⇄ {server}: the norms of the adapters' gradients, one number per adapter weight.")
    lines.append(
        "Each worker → hub: losses, gradient norms, token counts, times, byte counts and typed events;"
        " at the end its adapter segment."
    )
    lines.append(
        "Hub → each worker with rows: the finished adapter, which is loaded and measured there on held-out rows; its"
        " losses and shares of exact answers go back to the hub and to everyone in the run."
    )
    if prompts:
        lines.append(
            f"{clients[0] if clients else names} → hub and everyone in the run: the answers of the base and the tuned"
            " model to the public prompts. A tuned model may repeat what it was trained on."
        )
    if clients and config.model.manifest:
        lines.append(f"{clients[0]} → hub: the base model's tokenizer, for the adapter's archive.")
    return lines


def _layers(count: int) -> str:
    return "layer" if count == 1 else f"{count} layers"


def _memory_sentences(config: RunConfig, names: str, server: str) -> list[str]:
    """What stays at the compute site of what crossed."""
    lines: list[str] = []
    if config.training.cache_activations:
        lines.append(
            f"{server} keeps the activations of every row until the run ends, and gets each row but once. "
            "They can be turned back into text."
        )
    if config.wire.changes is not None:
        lines.append(
            f"From the second epoch on, only the change of a row's activations crosses, as {config.wire.changes}, with "
            f"the row's number. {names} and {server} keep the activations of every row, also in their checkpoints. "
            "They can be turned back into text."
        )
    return lines


def adapter_traffic(config: RunConfig, clients: int) -> list[str]:
    """What crosses of the adapters of head and tail while a run trains, in words."""
    exchange = exchange_of(config.schedule, clients)
    if exchange.gradients:
        return ["gradients of the head and tail adapters, summed in every step"]
    if exchange.relays:
        turn = config.schedule.turn_steps
        moments = " and the optimiser's state of them" if config.training.optimiser == "adamw" else ""
        return [
            f"weights of the head and tail adapters{moments}, handed to the next data organisation every {turn} steps",
            "weights of the head and tail adapters, handed to every data organisation before each evaluation",
        ]
    if exchange.average_every:
        return [f"weights of the head and tail adapters, averaged every {exchange.average_every} steps"]
    return []
