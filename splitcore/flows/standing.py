"""What leaves a site outside of any run: that it has a worker, and what it says of its data."""

from __future__ import annotations

from collections.abc import Iterator

from splitcore.flow import Flow, Part, Thing


def flows() -> Iterator[Flow]:
    """Whatever is configured."""
    yield Flow(
        Thing.METADATA,
        "metadata of a dataset, exactly as confirmed on the worker's own page",
        Part.MEASURING,
        Part.PARTNERS,
        "when it is added",
        seen="exactly what was confirmed on the worker",
        requests=frozenset({"datasets"}),
    )
    yield Flow(
        Thing.WORKERS,
        "hardware, versions, address and ports, the doctor's checks, limits of the site policy",
        Part.WORKER,
        Part.PARTNERS,
        "while it is connected",
        seen="hardware, versions, limits of its policy",
        requests=frozenset({"hello"}),
    )
    yield Flow(
        Thing.METADATA,
        "name, number and keyed digest of each dataset version whose rows it holds",
        Part.MEASURING,
        Part.HUB,
        "while it is connected",
        seen="exactly what was confirmed on the worker",
        requests=frozenset({"hello"}),
    )
    yield Flow(
        Thing.METADATA,
        "what each of its datasets has spent by releases with noise: ε of the row that spent most, the site's budget,"
        " and the ids of the runs, which the hub only shows to its own organisation",
        Part.MEASURING,
        Part.HUB,
        "while it is connected",
        seen="what its datasets have spent",
        requests=frozenset({"hello"}),
    )
    yield Flow(
        Thing.WORKERS,
        "its certificate",
        Part.WORKER,
        Part.PARTNERS,
        "when it is enrolled or gets a new key",
        seen="hardware, versions, limits of its policy",
        requests=frozenset({"enrol", "rotate", "leave"}),
    )
    yield Flow(
        Thing.WORKERS,
        "the configuration, layout, size and manifest hash of each registered base model",
        Part.WORKER,
        Part.PARTNERS,
        "when a base model is added",
        seen="hardware, versions, limits of its policy",
        requests=frozenset({"models"}),
    )
    yield Flow(
        Thing.WORKERS,
        "its finding about the hub's audit log",
        Part.WORKER,
        Part.HUB,
        "when that log doesn't continue from where it ended",
        requests=frozenset({"witness"}),
    )
