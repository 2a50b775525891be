"""What leaves a site and what does not: the words of the invitation, the landing page and the help."""

from __future__ import annotations

from typing import Any

from webapp.orgs.models import PartyKind

HONEST_NOTES = (
    "Activations can be inverted. Whoever holds them and the public weights of the base model can recover much of the "
    "text, in our own measurements on small models all of it. A deeper cut does not prevent this.",
    "Keeping the labels at your site does not hide them by itself: the gradients that are sent back tell much about "
    "them. At least two tail layers make it harder, and no setting makes it impossible.",
    "So treat the compute organisation as one that could read the text that you train on, and agree with it in writing "
    "what it may do. What the split gives you: no copy of your rows is handed over, and activations reach the compute "
    "organisation alone. The hub and the partners receive what the table says: figures, metadata, adapters and, where "
    "the contract has public prompts, the tuned model's answers to them.",
)


def _cell(level: str, note: str = "") -> dict[str, str]:
    return {"level": level, "note": note}


def _row(label: str, hint: str, *cells: dict[str, str]) -> dict[str, Any]:
    return {"label": label, "hint": hint, "cells": list(cells)}


def data_party_matrix() -> dict[str, Any]:
    """Who sees what of a data organisation, in the default (U-shaped) topology."""
    return {
        "parties": ["Your site", "Compute organisation", "Other data organisations", "The hub"],
        "rows": [
            _row("Rows of your datasets", "text and tokens", *map(_cell, ("own", "no", "no", "no"))),
            _row(
                "Labels and completions",
                "a run that shares them says so in its contract",
                *map(_cell, ("own", "no", "no", "no")),
            ),
            _row(
                "Activations and their gradients",
                "what crosses the cut",
                _cell("own"),
                _cell("yes", "can be inverted"),
                _cell("no"),
                _cell("no"),
            ),
            _row(
                "Gradients of your adapter",
                "where several data organisations train together",
                _cell("own"),
                _cell("yes"),
                _cell("aggregate"),
                _cell("no"),
            ),
            _row(
                "The finished adapter",
                "one PEFT adapter",
                _cell("yes", "if a recipient"),
                _cell("yes", "if a recipient"),
                _cell("yes", "if a recipient"),
                _cell("yes", "joins and stores it"),
            ),
            _row(
                "Metadata of your datasets",
                "exactly what you confirm on your worker",
                *map(_cell, ("yes", "yes", "yes", "yes")),
            ),
            _row("Metrics and phases of a run", "loss, speed, bytes", *map(_cell, ("yes", "yes", "yes", "yes"))),
            _row(
                "Answers to the public prompts",
                "if a contract has any; a tuned model may repeat what it was trained on",
                *map(_cell, ("yes", "yes", "yes", "yes")),
            ),
            _row("Raw logs and error texts", "", *map(_cell, ("own", "no", "no", "no"))),
        ],
        "notes": list(HONEST_NOTES),
    }


def compute_party_matrix() -> dict[str, Any]:
    """Who sees what of a compute organisation."""
    return {
        "parties": ["Your site", "Data organisations", "The hub"],
        "rows": [
            _row("Rows, tokens and labels of others", "", *map(_cell, ("no", "own", "no"))),
            _row(
                "Activations and their gradients",
                "they arrive at your worker",
                _cell("yes", "can be inverted"),
                _cell("own"),
                _cell("no"),
            ),
            _row(
                "Your part of the adapter",
                "uploaded at the end",
                _cell("own"),
                _cell("yes", "as part of the finished adapter"),
                _cell("yes", "joins and stores it"),
            ),
            _row("Facts about your worker", "hardware, versions, port range", *map(_cell, ("yes", "yes", "yes"))),
            _row("Metrics and phases of a run", "loss, speed, bytes", *map(_cell, ("yes", "yes", "yes"))),
            _row("Answers to the public prompts", "if a contract has any", *map(_cell, ("yes", "yes", "yes"))),
            _row("Raw logs and error texts", "", *map(_cell, ("own", "no", "no"))),
        ],
        "notes": [
            "What reaches your worker is personal data if the text is: activations can be inverted. "
            "Keep it no longer than the run, and let nobody look at it.",
        ],
    }


def matrix_for(party_kind: str) -> dict[str, Any]:
    """The matrix that an invited organisation should read."""
    return compute_party_matrix() if party_kind == PartyKind.COMPUTE else data_party_matrix()
