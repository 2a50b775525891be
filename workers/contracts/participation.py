"""A worker's part: its verdict on the contract, its claim, its address, its end."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from splitcore.bounds import Short, Small, Text
from workers.contracts.base import Desired, ErrorInfo, Hex64, HubMessage, Kind, Message, Since

# A refusal with this field alone is none: the site approves contracts itself, and its people have not done so yet.
SITE_APPROVAL = "approve"
# This one alone: the site has admitted another contract under the run's id, and will admit no second one.
OTHER_CONTRACT = "contract.other"
# And this one: the worker knows no such kind of job. Of the contract it says nothing.
JOB_KIND = "job.kind"


class PolicyRefusal(Message):
    """One rule of the site that a contract breaks."""

    field: Short
    message: Text
    limit: Short = ""


class PolicyVerdict(Message):
    """`POST runs/{run_id}/verdict`."""

    participant_id: Short
    contract_hash: Hex64
    accepted: bool
    refusals: list[PolicyRefusal] = Field(default_factory=list, max_length=50)


class Claim(Message):
    """`POST runs/{run_id}/claim`: a job asks for its part before it starts. The reply's attempt is its fence."""

    participant_id: Short
    contract_hash: Hex64
    job_id: Short
    highest_attempt: Annotated[Small, Since(3)] = (
        0  # that this worker has ever got for the part: a restored hub goes on above it
    )


class ClaimReply(HubMessage):
    """The new attempt: every message of an older one is refused with CL-1503."""

    attempt: Small
    desired: Desired


class Ready(Message):
    """`POST runs/{run_id}/ready`: the server half listens here."""

    participant_id: Short
    attempt: Small
    host: Annotated[str, StringConstraints(max_length=110, pattern=r"^[!-~]*$")]
    port: int = Field(ge=1, le=65535)


class Exit(Message):
    """`POST runs/{run_id}/exit`: a job's process is gone. Of a half with desired=stopped this is the confirmation.

    What a kind of protocol 5 or later reports are further fields of its own form, each with a default (`exit_form`).
    """

    participant_id: Short
    attempt: Small
    outcome: Literal["done", "failed", "stopped"]
    error: ErrorInfo | None = None
    checkpoint_step: Small | None = None
    kind: Annotated[Kind, Since(5)] = "train"  # of the jobs that end by an exit
    subject: Annotated[Short, Since(5)] = ""  # what the job was about, as its assignment has it
