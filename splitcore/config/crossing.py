"""What crosses between the organisations of a run, from whom to whom, in words (torch-free).

The hub writes it into the contract, and a worker works it out for itself, for the people who are to approve.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from splitcore.config.exchange import exchange_of
from splitcore.config.run import RunConfig
from splitcore.config.sections import SplitSection


def crossing_sentences(
    config: RunConfig, clients: Mapping[str, str], server: str = "", *, prompts: bool = False
) -> list[str]:
    """What crosses between the data organisations of `clients` (by party) and the compute organisation `server`."""
    server = server or "the compute site"
    names = _names(clients.values())
    first = next(iter(clients.values()), names)
    wire, vanilla, cuts = config.wire, config.split.topology == "vanilla", _cuts(config, clients)
    lines = [
        *(
            f"{whose} → {server}: activations after the first {_layers(one.head_layers)}, as {wire.activations}."
            for one, whose in cuts
        ),
        f"{names} → {server}: with them which positions are filled, so the length of each row; the number of rows, and"
        " the number of target tokens in each step.",
        *_memory_sentences(config, names, server),
    ]
    if config.lora.train_head:
        lines.append(f"{server} → {names}: gradients of those activations, as {wire.gradients}.")
    if vanilla:
        lines.append(f"{names} → {server}: the labels, that is, the target tokens themselves.")
    else:
        lines += [f"{server} → {whose}: activations for the last {_layers(one.tail_layers)}." for one, whose in cuts]
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
            f"{first} → hub and everyone in the run: the answers of the base and the tuned"
            " model to the public prompts. A tuned model may repeat what it was trained on."
        )
    if clients and config.model.manifest:
        lines.append(f"{first} → hub: the base model's tokenizer, for the adapter's archive.")
    return lines


def _names(organisations: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(organisations)) or "each data organisation"


def _cuts(config: RunConfig, clients: Mapping[str, str]) -> list[tuple[SplitSection, str]]:
    """Where the model is cut, and for whom: a party may have its own numbers of layers."""
    cuts: dict[tuple[int, int], tuple[SplitSection, list[str]]] = {}
    for party, organisation in clients.items():
        split = config.for_party(party).split
        cuts.setdefault((split.head_layers, split.tail_layers), (split, []))[1].append(organisation)
    return [(split, _names(whose)) for split, whose in cuts.values()] or [(config.split, _names([]))]


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
