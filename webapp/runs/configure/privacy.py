"""Who sees what in a run, and what is dangerous about its cut: both from its flows, in words for the hub's pages.

No sentence here calls activations private: they can be inverted.
"""

from __future__ import annotations

from collections.abc import Sequence

from splitcore.config import RunConfig
from splitcore.flows import Degree, Flow, Thing, anyone, flows_of
from splitcore.flows.ends import SUBTRACTED
from splitcore.flows.matrix import INVERSION, Matrix, Party, cast_of, columns_of, matrix

__all__ = ["BARE_HEAD", "Party", "cut_warnings", "who_sees_what"]

U_SHAPE = (
    "U-shape: the data organisation keeps the first and the last layers. Its text and labels are not sent. This "
    "doesn't reliably hide them: activations can be inverted to text, and labels can be inferred from the "
    "gradients."
)
VANILLA = (
    "Vanilla: the compute organisation computes the loss, so it receives the labels, which for a language model are"
    " the target text itself. Choose it only if the compute organisation may read the completions."
)
BARE_HEAD = (
    "With no decoder layer in the tail, only the public output head follows the cut: the compute organisation "
    "can then compute every label from the gradient it receives. Tail layers make that harder, not impossible: in an "
    "audit of the demo's model, an attack still read 95 % of the labels behind two of them."
)
SHALLOW = "With no head layer, each token's embedding is sent, and anyone with the base model can look up the text."
ACTIVATIONS = f"{INVERSION} Rows stay at their site, but what is sent is not anonymous."
SOMEBODY = (Party("A data organisation", "client"), Party("The compute organisation", "server"))


def cut_warnings(config: RunConfig) -> list[str]:
    """What is dangerous about this cut: things that follow for certain from what is sent."""
    certain = {(reveal.thing, reveal.degree) for flow in flows_of(config, anyone(1)) for reveal in flow.reveals}
    warnings = {
        (Thing.ROWS, Degree.CONTAINED): VANILLA,
        (Thing.LABELS, Degree.COMPUTABLE): BARE_HEAD,
        (Thing.ROWS, Degree.COMPUTABLE): SHALLOW,
    }
    return [sentence for found, sentence in warnings.items() if found in certain]


def who_sees_what(config: RunConfig, parties: Sequence[Party], *, prompts: bool = False) -> Matrix:
    """The matrix of the component `who_sees_what`: a column per organisation, and one for the hub.

    Whoever is not chosen yet has a column without a name: else the table would say that nobody ever sees a thing.
    """
    parties = [*parties, *(one for one in SOMEBODY if all(party.role != one.role for party in parties))]
    flows = flows_of(config, cast_of(parties, prompts=prompts))
    return matrix(flows, columns_of(parties), [ACTIVATIONS, _labels_note(flows), *_sum_note(flows, parties)])


def _sum_note(flows: Sequence[Flow], parties: Sequence[Party]) -> list[str]:
    """Of a sum of two, each knows the other part."""
    clients = {party.name for party in parties if party.role == "client"}
    is_told = any(reveal.how == SUBTRACTED for flow in flows for reveal in flow.reveals)
    return [SUBTRACTED] if len(clients) == 2 and is_told else []


def _labels_note(flows: Sequence[Flow]) -> str:
    return VANILLA if any(flow.thing is Thing.LABELS for flow in flows) else U_SHAPE
