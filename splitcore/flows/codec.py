"""What a coding adds that remembers rows: their numbers, and whatever it sends of its own."""

from __future__ import annotations

from collections.abc import Iterator

from splitcore.caches.registry import CACHES
from splitcore.flow import STEPS, Flow, Part, Thing
from splitcore.flows.reading import Reading
from splitcore.wire.protocol.declared import Carried, Content, Tensor
from splitcore.wire.protocol.messages import Kind, Phase

REMEMBERED = f"with {' or '.join(f'`{cache.field}`' for cache in CACHES)}"


def flows(run: Reading) -> Iterator[Flow]:
    """None where every visit of a row is sent in full."""
    if run.caches:
        rows = Tensor("rows", "i64", Content.ROW_NUMBERS, is_required=False)
        yield Flow(
            Thing.SIZES,
            "row numbers, which show which rows recur",
            Part.CLIENT,
            Part.SERVER,
            STEPS,
            only=REMEMBERED,
            seen="of every data organisation",
            carried=(Carried(Kind.ACTIVATIONS, Phase.HEAD_UP, (rows,)),),
        )
    for phase in (Phase.HEAD_UP, *([Phase.BODY_DOWN] if run.has_tail else [])):
        if phase in run.caches:
            yield from run.caches[phase].flows(phase)
