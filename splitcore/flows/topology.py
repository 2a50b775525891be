"""What crosses the cut of a micro-batch: hidden states, masks, labels, gradients, losses."""

from __future__ import annotations

from collections.abc import Iterator

from splitcore.flow import ALWAYS, STEPS, Degree, Flow, Part, Reveal, Thing
from splitcore.flows.reading import Cut, Reading
from splitcore.wire.protocol.declared import Carried, Content, Tensor
from splitcore.wire.protocol.messages import Kind, Phase

HIDDEN = "hidden"


def only_in(topology: str) -> str:
    """What is said of a flow that one topology has alone."""
    return f"in the `{topology}` topology"


U_SHAPE, VANILLA = only_in("u_shape"), only_in("vanilla")


def flows(run: Reading) -> Iterator[Flow]:
    """Of either topology."""
    yield from (_activations_up(run, cut) for cut in run.cuts)
    yield _mask(run)
    yield from _u_shape(run) if run.has_tail else _vanilla(run)
    if run.trains_head:
        yield Flow(
            Thing.CUT_GRADIENTS,
            "gradients at the first cut",
            Part.SERVER,
            Part.CLIENT,
            STEPS,
            form=f"as {run.gradients}",
            only="where the head is trained",
            seen="of every data organisation",
            carried=(Carried(Kind.GRADIENTS, Phase.BODY_GRAD_DOWN, (_hidden(run, run.gradients),)),),
        )


def content(run: Reading) -> Content:
    """Whether vectors of padding cross."""
    return Content.PACKED if run.is_packed else Content.PADDED


def _hidden(run: Reading, codec: str, *, is_required: bool = True) -> Tensor:
    return Tensor(HIDDEN, codec, content(run), is_required)


def _layers(count: int) -> str:
    return "layer" if count == 1 else f"{count} layers"


def _activations_up(run: Reading, cut: Cut) -> Flow:
    """Every row's, the held-out ones' too."""
    place = f"after the first {_layers(cut.head_layers)}" if cut.head_layers else "after the embedding"
    text = Reveal(
        Thing.ROWS,
        Degree.INFERABLE if cut.head_layers else Degree.COMPUTABLE,
        "They can be turned back into text. Without a head layer, a simple look-up is enough.",
        "activations can be turned back into text",
    )
    once = run.sends_rows_once
    return Flow(
        Thing.ACTIVATIONS,
        "activations at the first cut",
        Part.CLIENT,
        Part.SERVER,
        ALWAYS,
        form=f"{place}, as {run.activations}" + (", each training row once" if once else ""),
        reveals=(text,),
        seen="of every data organisation; can be turned back into text",
        parties=cut.parties,
        kept="They are kept there until the run ends." if once else "",
        carried=(
            Carried(
                Kind.ACTIVATIONS,
                Phase.HEAD_UP,
                (_hidden(run, run.activations, is_required=not run.caches),),
            ),
        ),
    )


def _mask(run: Reading) -> Flow:
    return Flow(
        Thing.SIZES,
        "the padding mask, which gives the length of each row",
        Part.CLIENT,
        Part.SERVER,
        ALWAYS,
        seen="of every data organisation",
        carried=(
            Carried(
                Kind.ACTIVATIONS,
                Phase.HEAD_UP,
                (Tensor("mask", "u8", Content.MASK, is_required=not run.sends_rows_once),),
            ),
        ),
    )


def _u_shape(run: Reading) -> Iterator[Flow]:
    for cut in run.cuts:
        yield Flow(
            Thing.ACTIVATIONS,
            "activations at the second cut",
            Part.SERVER,
            Part.CLIENT,
            ALWAYS,
            form=f"before the last {_layers(cut.tail_layers)}, as {run.activations}"
            if cut.tail_layers
            else f"before the output head, as {run.activations}",
            only=U_SHAPE,
            parties=cut.parties,
            carried=(
                Carried(
                    Kind.ACTIVATIONS,
                    Phase.BODY_DOWN,
                    (_hidden(run, run.activations, is_required=not run.caches),),
                    frozenset({"fault"}),
                ),
            ),
        )
        yield Flow(
            Thing.CUT_GRADIENTS,
            "gradients at the second cut",
            Part.CLIENT,
            Part.SERVER,
            STEPS,
            form=f"as {run.gradients}",
            reveals=(_labels_from(cut),),
            only=U_SHAPE,
            seen="of every data organisation; labels may be inferred from them",
            parties=cut.parties,
            carried=(Carried(Kind.GRADIENTS, Phase.TAIL_UP, (_hidden(run, run.gradients),)),),
        )


def _labels_from(cut: Cut) -> Reveal:
    return Reveal(
        Thing.LABELS,
        Degree.INFERABLE if cut.tail_layers else Degree.COMPUTABLE,
        "Labels are not sent, but may be inferred from these. Without a tail layer, they can be computed.",
        "may be inferred from gradients" if cut.tail_layers else "not sent, but computable from the gradient",
    )


def _vanilla(run: Reading) -> Iterator[Flow]:
    yield _row_labels() if run.tells_labels else _token_labels(run)
    yield Flow(
        Thing.FIGURES,
        "the loss of each micro-batch, and in an evaluation the likeliest next token (or label) of each row",
        Part.SERVER,
        Part.CLIENT,
        ALWAYS,
        only=VANILLA,
        carried=(Carried(Kind.LOSS, fields=frozenset({"loss", "next", "fault"})),),
    )


LABELS_SENT = (Carried(Kind.ACTIVATIONS, Phase.HEAD_UP, (Tensor("labels", "i64", Content.LABELS),)),)


def _token_labels(run: Reading) -> Flow:
    whole = run.sends_whole_rows_as_labels
    return Flow(
        Thing.LABELS,
        "the labels, which are the target tokens themselves",
        Part.CLIENT,
        Part.SERVER,
        ALWAYS,
        reveals=(
            Reveal(
                Thing.ROWS,
                Degree.CONTAINED,
                "These are the text itself: the completions, or whole rows if the loss covers all tokens.",
                "the whole rows, as labels" if whole else "the completions, as labels",
            ),
        ),
        only=VANILLA,
        seen="sent, as the topology requires",
        carried=LABELS_SENT,
    )


def _row_labels() -> Flow:
    return Flow(
        Thing.LABELS,
        "the label of each row",
        Part.CLIENT,
        Part.SERVER,
        ALWAYS,
        only=VANILLA,
        seen="sent, as the topology requires",
        carried=LABELS_SENT,
    )
