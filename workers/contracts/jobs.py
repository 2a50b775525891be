"""The kinds of jobs, and what each is told. One table; a new kind is a line of it.

An assignment bears the fields of the first kinds side by side, as workers of protocol 2 read them; what a later kind is
told lies in its `spec`. Either way an assignment bears what its own kind is told, and nothing of another's.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field, StringConstraints

from splitcore.bounds import Short, Small, Text, json_read
from workers.contracts.artefacts import VerifyReport
from workers.contracts.assignments import Assignment
from workers.contracts.audits import AUDIT_SINCE, AuditEnd, AuditSpec
from workers.contracts.base import Hex64, Message, Party, Pem
from workers.contracts.participation import Exit

REVIEW = "review"  # the one assignment that is no job: the contract is judged, and nothing is started


class TrainSpec(Message):
    """A half of a run: where its peer is, under which attempts the others run, and by what they are known."""

    server_address: Short = ""
    server_attempt: Small = 0
    client_attempts: dict[Party, Small] = Field(default_factory=dict, max_length=64)
    certificates: list[Pem] = Field(default_factory=list, max_length=64)


class AdapterSpec(Message):
    """A joined adapter of the run, and where it is to be fetched."""

    adapter_id: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    adapter_url: Text
    adapter_sha256: Hex64


class JobForm(NamedTuple):
    """What a kind of job is told, the protocol's version in which it came to be so, and in which form its end is told.

    A later kind's end is an `Exit`, or a form of it with closed and bounded fields of its own.
    """

    spec: type[Message]
    since: int
    end: type[Message] = Exit


JOBS: dict[str, JobForm] = {
    "train": JobForm(TrainSpec, 2),
    "evaluate": JobForm(AdapterSpec, 2, VerifyReport),
    "verify": JobForm(AdapterSpec, 2, VerifyReport),
    "audit": JobForm(AuditSpec, AUDIT_SINCE, AuditEnd),
}


def kind_since(kind: str) -> int:
    """The version of the protocol that a worker needs for this kind of assignment."""
    return JOBS[kind].since if kind in JOBS else 0


def exit_form(body: bytes | str) -> type[Exit]:
    """In which form an exit is to be read: that of its kind, where the kind reports more by it."""
    try:
        told = json_read(body)
    except ValueError:
        return Exit
    form = JOBS.get(str(told.get("kind"))) if isinstance(told, dict) else None
    return form.end if form is not None and issubclass(form.end, Exit) else Exit


def spec_read(assignment: Assignment) -> Message | None:
    """What this kind is told; none of a review. Raises ValueError where it is not whole, or another kind's is there."""
    own = JOBS[assignment.kind].spec if assignment.kind in JOBS else None
    of_own = _beside(own) if own is not None else set()
    for name in {name for form in JOBS.values() for name in _beside(form.spec)} - of_own:
        if getattr(assignment, name) != Assignment.model_fields[name].get_default(call_default_factory=True):
            raise ValueError(f"{name} isn't told of this kind of job")
    if assignment.spec and (own is None or not set(assignment.spec) <= set(own.model_fields) - of_own):
        raise ValueError("this kind of job has no field for that")
    if own is None:
        return None
    return own.model_validate({**assignment.spec, **{name: getattr(assignment, name) for name in of_own}})


def _beside(spec: type[Message]) -> set[str]:
    """The fields of a spec that an assignment bears side by side with those of other kinds."""
    return set(spec.model_fields) & set(Assignment.model_fields)
