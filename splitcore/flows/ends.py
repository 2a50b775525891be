"""What several data parties exchange of the adapters of head and tail: sums, averages, and what is handed on."""

from __future__ import annotations

from collections.abc import Iterator

from splitcore.flow import STEPS, Degree, Flow, Part, Reveal, Thing
from splitcore.flows.reading import Reading
from splitcore.wire.protocol.declared import Carried, Content, Tensor
from splitcore.wire.protocol.messages import Kind

MEETING = "at the start of each attempt"
ROUND = "at the end of each round"
TURN = "after each turn"
SEVERAL = "with several data organisations"
SUMMED = f"{SEVERAL}, in the schedule `parallel` with `aggregate_every` 1"
AVERAGED = f"{SEVERAL}, in the schedules `parallel` (`aggregate_every` above 1) and `splitfed_v1`"
RELAYED = f"{SEVERAL}, in the schedule `sequential` with `relay`"
ENDS = Tensor("", "fp32", Content.ENDS)
MASKED = Tensor("", "i64", Content.MASKED_ENDS)
KEYS = Tensor("keys", "u8", Content.MASK_KEYS)
UNMASKED = "unless `privacy.sums` is masked"
ONLY_SUM = (
    "The compute organisation reads the sum over the organisations alone, as long as it computes what the contract says"
    " and no organisation tells it its masks. A sum, too, can reveal something about the text behind it."
)
SUBTRACTED = "With two data organisations, each learns the other's by subtraction."


def flows(run: Reading) -> Iterator[Flow]:
    """Of any schedule."""
    if run.masked or run.sealed:
        yield from _keys()
    if run.exchange.gradients:
        yield from _summed(run)
    elif run.exchange.relays:
        yield from _relayed(run)
    elif run.exchange.ends_averaged_every:
        yield from _averaged(run)


def _keys() -> Iterator[Flow]:
    """What each two parties draw their masks from; masks themselves are computed and never sent."""
    only = f"{SEVERAL} whose gradients or weights are summed or handed on, with `privacy.sums: masked`"
    what = "public keys for masks, signed by the organisation's worker"
    carried = (Carried(Kind.MASK_KEYS, tensors=(KEYS,)),)
    yield Flow(Thing.KEYS, what, Part.CLIENT, Part.SERVER, MEETING, only=only, seen="public keys alone",
               carried=carried)  # fmt: skip
    yield Flow(Thing.KEYS, what, Part.SERVER, Part.CLIENTS, MEETING, only=only, seen="public keys of all",
               carried=carried)  # fmt: skip


def _summed(run: Reading) -> Iterator[Flow]:
    if run.masked:
        yield Flow(
            Thing.ENDS,
            "masked gradients of the head and tail adapters, of which only the sum can be read",
            Part.CLIENT,
            Part.SERVER,
            STEPS,
            reveals=(Reveal(Thing.ROWS, Degree.REPEATED, ONLY_SUM),),
            only=f"{SUMMED}, with `privacy.sums: masked`",
            seen="only the sum of their gradients, in every step",
            is_sum=True,
            carried=(Carried(Kind.ADAPTER_GRADIENTS, tensors=(MASKED,), fields=frozenset({"fault"})),),
        )
    else:
        yield Flow(
            Thing.ENDS,
            "gradients of the head and tail adapters",
            Part.CLIENT,
            Part.SERVER,
            STEPS,
            reveals=(_text_of("gradients"),),
            only=f"{SUMMED}, {UNMASKED}",
            seen="gradients in every step",
            carried=(Carried(Kind.ADAPTER_GRADIENTS, tensors=(ENDS,), fields=frozenset({"fault"})),),
        )
    yield Flow(
        Thing.ENDS,
        "the sum of the head and tail adapters' gradients",
        Part.SERVER,
        Part.CLIENTS,
        STEPS,
        reveals=(Reveal(Thing.ENDS, Degree.COMPUTABLE, SUBTRACTED),),
        only=SUMMED,
        seen="summed over the organisations",
        is_sum=True,
        carried=(Carried(Kind.AGGREGATE, tensors=(ENDS,)),),
    )


def _averaged(run: Reading) -> Iterator[Flow]:
    every = run.exchange.ends_averaged_every
    form = "a round is one step" if every == 1 else f"a round is {every} steps"
    when = "in every step" if every == 1 else f"every {every} steps"
    if run.masked:
        yield Flow(
            Thing.ENDS,
            "masked weights of the head and tail adapters, of which only the sum can be read, and the number of tokens"
            " behind them",
            Part.CLIENT,
            Part.SERVER,
            ROUND,
            form=form,
            reveals=(Reveal(Thing.ROWS, Degree.REPEATED, ONLY_SUM),),
            only=f"{AVERAGED}, with `privacy.sums: masked`",
            seen=f"only the average of their weights, {when}",
            is_sum=True,
            carried=(Carried(Kind.ADAPTER_WEIGHTS, tensors=(MASKED,), fields=frozenset({"tokens"})),),
        )
    else:
        yield Flow(
            Thing.ENDS,
            "weights of the head and tail adapters, and the number of tokens behind them",
            Part.CLIENT,
            Part.SERVER,
            ROUND,
            form=form,
            reveals=(_text_of("weights"),),
            only=f"{AVERAGED}, {UNMASKED}",
            seen=f"weights {when}",
            carried=(Carried(Kind.ADAPTER_WEIGHTS, tensors=(ENDS,), fields=frozenset({"tokens"})),),
        )
    yield Flow(
        Thing.ENDS,
        "the average of the head and tail adapters' weights",
        Part.SERVER,
        Part.CLIENTS,
        ROUND,
        form=form,
        reveals=(Reveal(Thing.ENDS, Degree.COMPUTABLE, SUBTRACTED),),
        only=AVERAGED,
        seen="averaged over the organisations",
        is_sum=True,
        carried=(Carried(Kind.ADAPTER_WEIGHTS, tensors=(ENDS,)),),
    )


def _relayed(run: Reading) -> Iterator[Flow]:
    turn = run.turn_steps
    form = "a turn is one step" if turn == 1 else f"a turn is {turn} steps"
    moments = (Tensor("", "fp32", Content.MOMENTS, is_required=False),) if run.hands_moments_on else ()
    state = "with their optimiser state" if moments else "without optimiser state"
    how_often = "in every step" if turn == 1 else f"every {turn} steps"
    if run.sealed:
        yield from _sealed(f"{form}, {state}", how_often)
        return
    for sender, receiver, seen in (
        (Part.CLIENT, Part.SERVER, f"weights {how_often}, handed on"),
        (Part.SERVER, Part.NEXT, "each gets the previous one's"),
    ):
        yield Flow(
            Thing.ENDS,
            "weights of the head and tail adapters, handed on",
            sender,
            receiver,
            TURN,
            form=f"{form}, {state}",
            reveals=(_text_of("weights"),),
            only=f"{RELAYED}, {UNMASKED}",
            seen=seen,
            carried=(Carried(Kind.ADAPTER_WEIGHTS, tensors=(ENDS, *moments)),),
        )
    yield Flow(
        Thing.ENDS,
        "weights of the head and tail adapters, for the evaluation",
        Part.SERVER,
        Part.CLIENTS,
        "before each evaluation",
        only=f"{RELAYED}, {UNMASKED}",
        seen="each gets the previous one's",
        carried=(Carried(Kind.ADAPTER_WEIGHTS, tensors=(ENDS,)),),
    )


def _sealed(form: str, how_often: str) -> Iterator[Flow]:
    """The same, encrypted on the way: the compute organisation carries what it can't read."""
    sealed = (Tensor("sealed", "u8", Content.SEALED),)
    only = f"{RELAYED}, with `privacy.sums: masked`"
    yield Flow(
        Thing.KEYS,
        "head and tail adapters, encrypted for the data organisation that gets them",
        Part.CLIENT,
        Part.SERVER,
        TURN,
        form=form,
        only=only,
        seen=f"public keys, and encrypted adapters {how_often}",
        carried=(Carried(Kind.SEALED_ADAPTER, tensors=sealed, fields=frozenset({"to"})),),
    )
    yield Flow(
        Thing.ENDS,
        "weights of the head and tail adapters, handed on under encryption",
        Part.SERVER,
        Part.NEXT,
        TURN,
        form=form,
        reveals=(_text_of("weights"),),
        only=only,
        seen="each gets the previous one's",
        carried=(Carried(Kind.SEALED_ADAPTER, tensors=sealed),),
    )
    yield Flow(
        Thing.ENDS,
        "weights of the head and tail adapters, under encryption, for the evaluation",
        Part.SERVER,
        Part.CLIENTS,
        "before each evaluation",
        only=only,
        seen="each gets the previous one's",
        carried=(Carried(Kind.SEALED_ADAPTER, tensors=sealed),),
    )


def _text_of(what: str) -> Reveal:
    return Reveal(Thing.ROWS, Degree.REPEATED, f"Such {what} can reveal something about the text behind them.")
