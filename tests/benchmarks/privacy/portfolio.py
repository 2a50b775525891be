"""The audit's portfolio for each model: the quick one, on fewer records where the model is large."""

from __future__ import annotations

from splitcore.audit.portfolio import Portfolio, portfolio

# 49,152 tokens and 30 layers: a position takes some hundred times as long as in the demo's model.
REAL = {"records": 24, "auxiliary": 200, "control_records": 12}


def portfolio_of(model: str) -> Portfolio:
    """What is run against a cell of this model."""
    quick = portfolio("quick")
    return quick if model == "demo" else quick.model_copy(update=REAL)
