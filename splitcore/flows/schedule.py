"""What crosses so that several parties train together: counts and norms; adapters are in `ends`."""

from __future__ import annotations

from collections.abc import Iterator

from splitcore.flow import STEPS, Degree, Flow, Part, Reveal, Thing
from splitcore.flows import ends
from splitcore.flows.ends import MEETING, SEVERAL, SUBTRACTED
from splitcore.flows.reading import Reading
from splitcore.wire.protocol.declared import Carried, Content, Tensor
from splitcore.wire.protocol.messages import Kind

OCCURS = "as they occur"
FAULT = frozenset({"source", "where", "rows"})  # of a value that was not finite


def flows(run: Reading) -> Iterator[Flow]:
    """Of any schedule."""
    yield from _counts(run)
    yield from _course(run)
    yield from _norms(run)
    yield from ends.flows(run)


def _everyone(run: Reading) -> Part:
    """Who is told what concerns all data parties."""
    return Part.CLIENTS if run.cast.several else Part.CLIENT


def _counts(run: Reading) -> Iterator[Flow]:
    seen = "of every data organisation"
    yield Flow(
        Thing.SIZES,
        "the number of training rows",
        Part.CLIENT,
        Part.SERVER,
        MEETING,
        seen=seen,
        carried=(Carried(Kind.HELLO, fields=frozenset({"rows"})),),
    )
    yield Flow(
        Thing.SIZES,
        "the number of target tokens",
        Part.CLIENT,
        Part.SERVER,
        STEPS,
        seen=seen,
        carried=(Carried(Kind.STEP_BEGIN, fields=frozenset({"tokens"})),),
    )
    total = Carried(Kind.STEP_TOTAL, fields=frozenset({"tokens"}))
    if run.cast.several and not run.exchange.own_body and not run.in_turn:
        yield Flow(
            Thing.SIZES,
            "the number of target tokens of all data organisations together",
            Part.SERVER,
            Part.CLIENTS,
            STEPS,
            reveals=(Reveal(Thing.SIZES, Degree.COMPUTABLE, SUBTRACTED),),
            only=f"{SEVERAL} in the same step",
            seen="the sum of their target tokens",
            is_sum=True,
            carried=(total,),
        )
    else:
        yield Flow(
            Thing.SIZES,
            "the organisation's own number of target tokens, in return",
            Part.SERVER,
            Part.CLIENT,
            STEPS,
            only="where no other organisation's tokens count in the step",
            carried=(total,),
        )


def _course(run: Reading) -> Iterator[Flow]:
    yield Flow(
        Thing.COURSE,
        "hashes of contract, configuration and base model, party names, and the steps of its checkpoints",
        Part.CLIENT,
        Part.SERVER,
        MEETING,
        carried=(
            Carried(Kind.HELLO, fields=frozenset({"protocol", "contract", "config", "manifest", "parties", "held"})),
        ),
    )
    yield Flow(
        Thing.COURSE,
        "the number of steps and the step to continue from",
        Part.SERVER,
        _everyone(run),
        MEETING,
        reveals=(
            Reveal(
                Thing.SIZES,
                Degree.INFERABLE,
                "If epochs are set, the number of steps reveals how many rows the largest dataset has.",
            ),
        ),
        carried=(Carried(Kind.WELCOME, fields=frozenset({"steps", "step", "branch"})),),
    )
    stop = Carried(Kind.CONTROL, fields=frozenset({"action"}))
    over = (stop, Carried(Kind.BYE))
    away = (Carried(Kind.STEP_DONE),) if run.in_turn or run.leaves_late_ones_out else ()
    yield Flow(Thing.COURSE, "a request to stop, and the end of its part", Part.CLIENT, Part.SERVER, OCCURS,
               carried=over + away)  # fmt: skip
    yield Flow(Thing.COURSE, "a request to stop, and the number of the next step", Part.SERVER, Part.CLIENT, OCCURS,
               carried=(stop, *away))  # fmt: skip


def _norms(run: Reading) -> Iterator[Flow]:
    """What the common norm is made of, and what is told of it."""
    if not run.exchange.gradients:
        yield Flow(
            Thing.NORMS,
            "one norm of the gradient of each head and tail adapter tensor",
            Part.CLIENT,
            Part.SERVER,
            STEPS,
            only="where these gradients are not sent themselves",
            seen="one per adapter tensor of head and tail",
            carried=(
                Carried(Kind.NORMS, tensors=(Tensor("norms", "fp32", Content.NORMS),), fields=frozenset({"fault"})),
            ),
        )
    told = frozenset({"norm"}) | FAULT
    late = frozenset({"late"}) if run.leaves_late_ones_out else frozenset()
    yield Flow(
        Thing.NORMS,
        "the global gradient norm, and where a value was NaN or infinite",
        Part.SERVER,
        _everyone(run),
        STEPS,
        seen="of the whole model",
        is_sum=run.cast.several,
        carried=(
            Carried(Kind.AGGREGATE, fields=told | late),
            *((Carried(Kind.STEP_DONE, fields=told),) if run.in_turn else ()),
        ),
    )
