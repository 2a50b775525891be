"""The rules of a policy, and how they are read and written.

A file is strict: an unknown key, or a value that is not of its kind, is an error and nothing starts. Without a file the
defaults hold. A file that was cut off has lost its last line, `approve`: without that one, people of the site approve.
Lists and numbers have the bounds within which a worker tells them to the hub (`PolicySummary`).
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from splitcore.bounds import COUNT_MAX, SMALL_MAX, Short, Text
from splitcore.errors import AppError
from splitcore.plain_yaml import PlainYamlError, yaml_read
from splitcore.policy.rules import HOST_REFUSED, host_breaches
from splitcore.privacy.calibration import DELTA
from splitcore.privacy.composition import LEAST, Budget

Topology = Literal["u_shape", "vanilla"]
LISTED_MAX = 200  # models, and hosts
Layers = Annotated[int, Field(ge=0, le=SMALL_MAX)]
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{0,20})?[eE][+-]?[0-9]{1,3}")
_EXPONENT = re.compile(r"^(-?[0-9]+)e")  # of a number without a point


def _number(value: Any) -> Any:
    """YAML reads 1e-5 as text: as it is written by most, it is a number."""
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value


Real = Annotated[float, BeforeValidator(_number)]


class PrivacyBudget(BaseModel):
    """What may be spent of a row."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    epsilon: Real = Field(ge=LEAST, le=1e6, allow_inf_nan=False)
    delta: Real = Field(DELTA, gt=0, le=0.01)


class Policy(BaseModel):
    """What a party allows. Each field's description stands in the file that a worker's `join` writes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)  # `off` is no number of layers

    version: int = Field(1, ge=1, le=1)  # no Literal: `on` is equal to 1
    topologies: list[Topology] = Field(
        ["u_shape"],
        min_length=1,  # an empty list of what may be used would allow every one
        max_length=2,
        description="u_shape keeps labels here. Add vanilla only if the compute site may see them.",
    )
    min_head_layers: Layers = Field(
        1, description="Minimum number of decoder layers before the cut that stay at this site."
    )
    min_tail_layers: Layers = Field(
        2, description="Minimum number of decoder layers after the cut that stay at this site (u_shape)."
    )
    models: list[Text] = Field(
        default_factory=list,
        max_length=LISTED_MAX,
        description="Allowed model ids or manifest hashes. Empty: every model registered here.",
    )
    max_steps: int | None = Field(
        None, ge=1, le=COUNT_MAX, description="Maximum optimiser steps per run. Empty: no limit."
    )
    max_message_bytes: int = Field(1 << 30, ge=1024, le=COUNT_MAX, description="Maximum size of a tensor message.")
    hosts: list[Short] = Field(
        default_factory=list,
        max_length=LISTED_MAX,
        description="Hosts that may receive tensors, * allowed. Empty: any pinned host.",
    )
    peer_trust: Literal["first_use", "listed"] = Field(
        "listed",
        description=(
            "Which workers' certificates are accepted for tensors. listed: only those added by `cutlayer worker"
            " trust`. first_use: a compute site admits each data worker on first contact and pins its"
            " certificate. A compute worker that gets this site's activations must always be listed."
        ),
    )
    egress_bytes_per_run: int | None = Field(
        None,
        ge=1,
        le=COUNT_MAX,
        description="Maximum bytes that may leave per run, tensors and records together. Empty: no limit.",
    )
    privacy_budget: PrivacyBudget | None = Field(
        None,
        description=(
            "Maximum ε of any row, all runs together, for replacing it by another of the same length. Counts hidden "
            "states at the first cut, but neither gradients nor labels. A run without noise of a known law is refused. "
            "Empty: no limit. Example: {epsilon: 2.0, delta: 1e-5}"
        ),
    )
    evaluations_per_day: int = Field(
        24, ge=1, le=10_000, description="Maximum adapter measurements on one dataset's held-out rows in 24 hours."
    )
    audits: Literal["allow", "forbid"] = Field(
        "allow",
        description=(
            "Leakage audits that the organisation's people start at the hub: a recorded training on this site's rows, "
            "attacked here. Only figures leave. forbid: none, whoever asks."
        ),
    )
    ledger: Literal["sampled", "full"] = Field(
        "sampled", description="full: the ledger hashes every outgoing tensor instead of one frame in 64 (slower)."
    )
    approve: Literal["hub", "local"] = Field(
        "hub",
        description=(
            "local: no job starts until someone at this site approves its contract, with `cutlayer worker approve` or "
            "on the worker's own page. Without this line, the file's last, local applies."
        ),
    )

    @property
    def budget(self) -> Budget | None:
        """The privacy budget of each row."""
        found = self.privacy_budget
        return None if found is None else Budget(found.epsilon, found.delta)

    @classmethod
    def parse(cls, text: str, where: str) -> Self:
        """The policy of a file's text; `where` names the file. A text that does not say who approves asks the site.

        A text without rules is refused: it is what an interrupted write leaves. Raises AppError CL-1422.
        """
        try:
            data = yaml_read(text)
        except PlainYamlError as error:
            raise AppError("CL-1422", f"{where} can't be read: {error}.") from None
        if data is None:
            raise AppError("CL-1422", f"{where} has no rules. Without the file, the defaults apply.")
        if isinstance(data, dict):
            data.setdefault("approve", "local")
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "the file"
            raise AppError("CL-1422", f"{where}: {field}: {first['msg']}.") from None

    def to_yaml(self) -> str:
        """The file's text, each field with its explanation."""
        values = self.model_dump(mode="json")
        lines = ["# What this site allows. Checked on this machine before every run, whatever the hub requests."]
        for name, field in type(self).model_fields.items():
            if field.description:
                lines.append(f"\n# {field.description}")
            lines.append(f"{name}: {_yaml(values[name])}")
        return "\n".join(lines) + "\n"

    def check_host(self, host: str) -> None:
        """Raises AppError CL-1424 where no tensors may go to this host."""
        for breach in host_breaches(self.hosts, host):
            field = {"field": breach.field, "message": breach.sentence}
            raise AppError(HOST_REFUSED, breach.sentence, details={"fields": [field]})


def _yaml(value: Any) -> str:
    """JSON is YAML, but for 1e-05, which is a text there."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(entry)}" for key, entry in value.items()) + "}"
    return _EXPONENT.sub(r"\1.0e", json.dumps(value)) if isinstance(value, float) else json.dumps(value)
