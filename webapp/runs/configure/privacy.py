"""Who sees what in a run, and what is dangerous about its cut: both from its flows, in words for the hub's pages.

No sentence here calls activations private: they can be inverted.
"""

from __future__ import annotations

from collections.abc import Sequence

from splitcore.config import RunConfig
from splitcore.flows import Degree, Flow, Thing, anyone, flows_of
from splitcore.flows.matrix import Matrix, Party, cast_of, columns_of, matrix

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
    "can then compute every label from the gradient it receives. Keep at least two tail layers."
)
SHALLOW = "With no head layer, each token's embedding is sent, and anyone with the base model can look up the text."
ACTIVATIONS = (
    "Activations can be inverted. In our own trials, attacks recovered most tokens at every cut tested. A "
    "deeper cut was no defence. Rows stay at their site, but what is sent is not anonymous."
)


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
    """The matrix of the component `who_sees_what`: a column per organisation, and one for the hub."""
    flows = flows_of(config, cast_of(parties, prompts=prompts))
    return matrix(flows, columns_of(parties), [ACTIVATIONS, _labels_note(flows)])


def _labels_note(flows: Sequence[Flow]) -> str:
    return VANILLA if any(flow.thing is Thing.LABELS for flow in flows) else U_SHAPE
