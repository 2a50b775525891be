"""Who sees what, in plain words. No sentence here calls activations private: they can be inverted."""

from __future__ import annotations

from collections.abc import Sequence
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
    """One worker's part in a run; `receives` is None as long as the contract does not say it."""

    name: str
    role: str  # client | server | evaluator
    receives: bool | None = None


@dataclass(frozen=True)
class Column:
    """An organisation with all its parts: a column of the matrix."""

    name: str
    roles: frozenset[str]
    receives: bool | None
    partners: bool  # whether other organisations bring data of their own

    @property
    def has_rows(self) -> bool:
        """Whether it holds rows of text."""
        return bool(self.roles & {"client", "evaluator"})


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


def columns_of(parties: Sequence[Party]) -> list[Column]:
    """One column per organisation, in the order of their first parts; the hub comes last."""
    names = list(dict.fromkeys(party.name for party in parties))
    own = {name: [party for party in parties if party.name == name] for name in names}
    owners = {party.name for party in parties if party.role == "client"}
    columns = [
        Column(name, frozenset(p.role for p in own[name]), _receives(own[name]), bool(owners - {name}))
        for name in names
    ]
    return [*columns, Column("Hub", frozenset({"hub"}), None, bool(owners))]


def _receives(parties: Sequence[Party]) -> bool | None:
    known = [party.receives for party in parties if party.receives is not None]
    return any(known) if known else None


def who_sees_what(config: RunConfig, parties: Sequence[Party], *, prompts: bool = False) -> dict[str, Any]:
    """The matrix of the component `who_sees_what`: a column per organisation, and one for the hub."""
    exchange = exchange_of(config.schedule, sum(party.role == "client" for party in parties))
    rows = [
        ("Rows of text", "prompts and completions", _rows),
        ("Labels", "the tokens to be predicted", _labels),
        ("Activations", "what the layers before the cut compute", _activations),
        ("Gradients at the cut", "", _gradients),
        ("Head and tail adapters", "what the data organisations train", _client_adapter),
        ("Body adapter", "what the compute organisation trains", _server_adapter),
        ("Losses, times, byte counts", "", _metrics),
        *(
            [("Answers to the public prompts", "as the base and the tuned model write them", _answers)]
            if prompts
            else []
        ),
        ("The finished adapter", "", _result),
    ]
    columns = columns_of(parties)
    return {
        "parties": [column.name for column in columns],
        "rows": [
            {"label": label, "hint": hint, "cells": [cell(config, column, exchange) for column in columns]}
            for label, hint, cell in rows
        ],
        "notes": [ACTIVATIONS, VANILLA if config.split.topology == "vanilla" else U_SHAPE],
    }


def _rows(config: RunConfig, column: Column, exchange: Exchange) -> dict[str, str]:
    return _cell("own") if column.has_rows else _cell("no")


def _labels(config: RunConfig, column: Column, exchange: Exchange) -> dict[str, str]:
    if "server" not in column.roles or not column.partners:
        return _cell("own") if column.has_rows else _cell("no")
    if config.split.topology == "vanilla":
        return _cell("yes", "sent, as the topology requires")
    if config.split.tail_layers == 0:
        return _cell("yes", "not sent, but computable from the gradient")
    if column.has_rows:
        return _cell("own", "the others' are not sent; may be inferred")
    return _cell("no", "not sent; may be inferred")


def _activations(config: RunConfig, column: Column, exchange: Exchange) -> dict[str, str]:
    if "server" in column.roles:
        return _cell("yes", "of every data organisation; invertible")
    return _cell("own") if "client" in column.roles else _cell("no")


def _gradients(config: RunConfig, column: Column, exchange: Exchange) -> dict[str, str]:
    if "server" in column.roles:
        return _cell("yes", "of every data organisation")
    return _cell("own") if "client" in column.roles else _cell("no")


def _client_adapter(config: RunConfig, column: Column, exchange: Exchange) -> dict[str, str]:
    if "server" in column.roles and exchange.relays:
        return _cell("yes", f"weights every {config.schedule.turn_steps} steps, handed on")
    if "server" in column.roles and exchange.ends_cross:
        every = exchange.average_every
        return _cell("yes", f"weights every {every} steps" if every else "gradients in every step")
    if "client" in column.roles:
        if exchange.relays:
            return _cell("yes", "each gets the one before's")
        return _cell("aggregate", "summed over the organisations") if exchange.ends_cross else _cell("own")
    return _cell("yes", "at the end, to join them") if "hub" in column.roles else _cell("no", "until the end")


def _server_adapter(config: RunConfig, column: Column, exchange: Exchange) -> dict[str, str]:
    if "server" in column.roles:
        return _cell("own")
    return _cell("yes", "at the end, to join them") if "hub" in column.roles else _cell("no", "until the end")


def _metrics(config: RunConfig, column: Column, exchange: Exchange) -> dict[str, str]:
    return _cell("yes", "numbers only" if "hub" in column.roles else "numbers only; logs of its own worker alone")


def _answers(config: RunConfig, column: Column, exchange: Exchange) -> dict[str, str]:
    return _cell("yes", "at each evaluation; a tuned model may repeat what it was trained on")


def _result(config: RunConfig, column: Column, exchange: Exchange) -> dict[str, str]:
    """The contract's word; a worker with rows loads the adapter in any case, to check and to measure it."""
    if "hub" in column.roles:
        return _cell("yes", "it joins and keeps it")
    if column.receives is None:
        return _cell("yes", "if named a recipient")
    if column.receives:
        return _cell("yes", "a recipient: may download it")
    return (
        _cell("yes", "no recipient; its worker loads it to measure it")
        if column.has_rows
        else _cell("no", "no recipient")
    )
