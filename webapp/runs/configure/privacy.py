"""Who sees what, in plain words. No sentence here calls activations private: they can be inverted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from splitcore.config import Exchange, RunConfig, exchange_of

U_SHAPE = (
    "U-shape: the data organisation keeps the first and the last layers. Its text and labels are not sent. It does not"
    " hide them for certain: activations can be inverted to text, and labels can be inferred from the gradients."
)
VANILLA = (
    "Vanilla: the compute organisation computes the loss, so it receives the labels, which for a language model are"
    " the target text itself. Choose it only where the compute organisation may read the completions."
)
BARE_HEAD = (
    "With no decoder layer in the tail, only the public output head follows the cut: the compute organisation can then"
    " compute every label from the gradient that it receives. Keep at least two tail layers."
)
SHALLOW = (
    "With no head layer, what is sent is the embedding of each token: whoever has the base model can look the text up."
)
ACTIVATIONS = (
    "Activations can be inverted. In our own trials attacks recovered most tokens at every cut that was tried; a deeper"
    " cut was no defence. Rows stay at their site; what is sent is not anonymous."
)


@dataclass(frozen=True)
class Party:
    """A column of the matrix."""

    name: str
    role: str  # client | server | evaluator


def cut_warnings(config: RunConfig) -> list[str]:
    """What is dangerous about this cut."""
    warnings = []
    if config.split.topology == "vanilla":
        warnings.append(VANILLA)
    elif config.split.tail_layers == 0:
        warnings.append(BARE_HEAD)
    if config.split.head_layers == 0:
        warnings.append(SHALLOW)
    return warnings


def _cell(level: str, note: str = "") -> dict[str, str]:
    return {"level": level, "note": note}


def who_sees_what(config: RunConfig, parties: list[Party]) -> dict[str, Any]:
    """The matrix of the component `who_sees_what`, for these parties and the hub."""
    exchange = exchange_of(config.schedule, sum(party.role == "client" for party in parties))
    rows = [
        ("Rows of text", "prompts and completions", _rows),
        ("Labels", "the tokens to be predicted", _labels),
        ("Activations", "what the layers before the cut compute", _activations),
        ("Gradients at the cut", "", _gradients),
        ("Head and tail adapters", "what the data organisations train", _client_adapter),
        ("Body adapter", "what the compute organisation trains", _server_adapter),
        ("Losses, times, byte counts", "", _metrics),
        ("The finished adapter", "", _result),
    ]
    columns = [*parties, Party("Hub", "hub")]
    return {
        "parties": [party.name for party in columns],
        "rows": [
            {"label": label, "hint": hint, "cells": [cell(config, party, exchange) for party in columns]}
            for label, hint, cell in rows
        ],
        "notes": [ACTIVATIONS, VANILLA if config.split.topology == "vanilla" else U_SHAPE],
    }


def _rows(config: RunConfig, party: Party, exchange: Exchange) -> dict[str, str]:
    return _cell("own") if party.role in ("client", "evaluator") else _cell("no")


def _labels(config: RunConfig, party: Party, exchange: Exchange) -> dict[str, str]:
    if party.role in ("client", "evaluator"):
        return _cell("own")
    if party.role == "server":
        if config.split.topology == "vanilla":
            return _cell("yes", "sent, as the topology requires")
        if config.split.tail_layers == 0:
            return _cell("yes", "not sent, but computable from the gradient")
        return _cell("no", "not sent; may be inferred")
    return _cell("no")


def _activations(config: RunConfig, party: Party, exchange: Exchange) -> dict[str, str]:
    if party.role == "server":
        return _cell("yes", "of every data organisation; invertible")
    return _cell("own") if party.role == "client" else _cell("no")


def _gradients(config: RunConfig, party: Party, exchange: Exchange) -> dict[str, str]:
    if party.role == "server":
        return _cell("yes", "of every data organisation")
    return _cell("own") if party.role == "client" else _cell("no")


def _client_adapter(config: RunConfig, party: Party, exchange: Exchange) -> dict[str, str]:
    if party.role == "client":
        if exchange.relays:
            return _cell("yes", "each gets the one before's")
        return _cell("aggregate", "summed over the organisations") if exchange.ends_cross else _cell("own")
    if party.role == "server":
        if exchange.relays:
            return _cell("yes", f"weights every {config.schedule.turn_steps} steps, handed on")
        if exchange.ends_cross:
            every = exchange.average_every
            return _cell("yes", f"weights every {every} steps" if every else "gradients in every step")
        return _cell("no", "until the end")
    return _cell("yes", "at the end, to join them") if party.role == "hub" else _cell("no", "until the end")


def _server_adapter(config: RunConfig, party: Party, exchange: Exchange) -> dict[str, str]:
    if party.role == "server":
        return _cell("own")
    return _cell("yes", "at the end, to join them") if party.role == "hub" else _cell("no", "until the end")


def _metrics(config: RunConfig, party: Party, exchange: Exchange) -> dict[str, str]:
    return _cell("yes", "numbers only; logs of its own worker alone" if party.role != "hub" else "numbers only")


def _result(config: RunConfig, party: Party, exchange: Exchange) -> dict[str, str]:
    return _cell("yes", "it joins and keeps it") if party.role == "hub" else _cell("yes", "if named a recipient")
