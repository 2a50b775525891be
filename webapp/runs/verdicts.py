"""A site's verdict on a contract in words: a contract's field by the label under which people know it."""

from __future__ import annotations

from dataclasses import dataclass

from webapp.runs.configure.schema import field_specs
from webapp.runs.models import Participant
from workers.contracts import JOB_KIND, OTHER_CONTRACT, SITE_APPROVAL

# What a worker may refuse that is no field of the configuration.
_LABELS = {
    SITE_APPROVAL: "Approval at the site",
    JOB_KIND: "Kind of job",
    OTHER_CONTRACT: "Contract",
    "contract": "Contract",
    "participant": "Part",
    "participants": "Parties",
    "participants.dataset": "Dataset",
    "participants.fingerprint": "Certificate",
}


@dataclass(frozen=True)
class Refusal:
    """One reason of a worker: the field's label, the worker's sentence, and the limit, where it named one."""

    label: str
    message: str
    limit: str


def refusals_of(part: Participant) -> list[Refusal]:
    """Why this part's worker refuses the contract; empty where it does not."""
    found = (part.policy_verdict or {}).get("refusals", [])
    return [Refusal(field_label(one["field"]), one["message"], one.get("limit", "")) for one in found]


def field_label(path: str) -> str:
    """The words of the form for a field; a field that nobody here knows keeps its own name."""
    return _LABELS.get(path) or next((spec.label for spec in field_specs() if spec.path == path), path)
