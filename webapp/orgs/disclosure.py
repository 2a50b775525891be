"""What leaves a site and what does not: the words of the invitation, the landing page and the help."""

from __future__ import annotations

from collections.abc import Sequence

from splitcore.config import RunConfig
from splitcore.flows import flows_of, standing_flows
from splitcore.flows.matrix import INVERSION, Matrix, Party, cast_of, columns_of, matrix
from webapp.orgs.models import PartyKind

HONEST_NOTES = (
    f"{INVERSION} Anyone who has them and the base model's public weights can try.",
    "Keeping the labels at your site doesn't hide them on its own: the gradients sent back reveal a lot about them. "
    "At least two tail layers make this harder. No setting makes it impossible.",
    "So treat the compute organisation as if it could read your training text, and agree in writing on what it may "
    "do. What the split does give you: no copy of your rows is handed over, and activations go only to the compute "
    "organisation. The hub and the partners receive what the table lists: figures, metadata, adapters and, if "
    "the contract has public prompts, the tuned model's answers to them.",
)


DEFAULT = RunConfig.parse({"model": {"name_or_path": "any"}})  # the U-shape, gradients summed
HUB = "The hub"
COMPUTE_NOTE = (
    "If the text is personal data, so is what reaches your worker, because activations can be inverted. "
    "Keep it no longer than the run, and don't let anyone look at it."
)


def data_party_matrix() -> Matrix:
    """Who sees what of a data organisation, in the default configuration."""
    parties = [
        Party("Your site", "client"),
        Party("Compute organisation", "server"),
        Party("Other data organisations", "client"),
    ]
    return _matrix(parties, HONEST_NOTES)


def compute_party_matrix() -> Matrix:
    """Who sees what of a compute organisation."""
    return _matrix([Party("Your site", "server"), *2 * [Party("Data organisations", "client")]], [COMPUTE_NOTE])


def _matrix(parties: Sequence[Party], notes: Sequence[str]) -> Matrix:
    """What leaves in a run, and what leaves outside of runs."""
    flows = flows_of(DEFAULT, cast_of(parties, prompts=True)) + standing_flows()
    return matrix(flows, columns_of(parties, HUB), notes)


def matrix_for(party_kind: str) -> Matrix:
    """The matrix that an invited organisation should read."""
    return compute_party_matrix() if party_kind == PartyKind.COMPUTE else data_party_matrix()
