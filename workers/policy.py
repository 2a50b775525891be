"""The site policy: what this worker lets itself be used for. The site, not the hub, has the last word.

`policy.yaml` is strict: an unknown key is an error and nothing starts. Without the file the defaults hold.
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from splitcore.errors import AppError
from splitcore.plain_yaml import PlainYamlError, yaml_read
from workers.contracts import PolicySummary
from workers.settings import WorkerHome

HEX64 = re.compile(r"[0-9a-f]{64}")
Topology = Literal["u_shape", "vanilla"]
Kind = Literal["data", "compute", "both"]  # of a worker


class SitePolicy(BaseModel):
    """The limits of a site. Each field's description stands in the file that `join` writes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    topologies: list[Topology] = Field(
        ["u_shape"], description="u_shape keeps labels here; add vanilla only if the compute site may have them."
    )
    min_head_layers: int = Field(1, ge=0, description="Least decoder layers before the cut that stay at this site.")
    min_tail_layers: int = Field(2, ge=0, description="Least decoder layers after the cut that stay (u_shape).")
    models: list[str] = Field(
        default_factory=list, description="Allowed model ids or manifest hashes; empty: every model registered here."
    )
    max_steps: int | None = Field(None, ge=1, description="Most optimiser steps of one run; empty: no limit.")
    max_message_bytes: int = Field(1 << 30, ge=1024, description="Largest tensor message.")
    hosts: list[str] = Field(
        default_factory=list, description="Hosts to which tensors may go, * allowed; empty: any that is pinned."
    )
    peer_trust: Literal["first_use", "listed"] = Field(
        "listed",
        description="Certificates of the workers that tensors go to or come from. listed: only those added by"
        " `cutlayer worker trust`. first_use: a compute site lets each data worker in when it meets it first, and pins"
        " its certificate. A compute worker that gets this site's activations is always listed.",
    )
    approve: Literal["hub", "local"] = Field(
        "hub",
        description="local: no job starts before somebody at this site has approved its contract, by"
        " `cutlayer worker approve` or on the worker's own page.",
    )

    egress_bytes_per_run: int | None = Field(
        None,
        ge=1,
        le=2**53,
        description="Most bytes that may leave in one run, tensors and records together; empty: no limit.",
    )
    evaluations_per_day: int = Field(
        24, ge=1, le=10_000, description="Most measurements of adapters on one dataset's held-out rows in 24 hours."
    )
    ledger: Literal["sampled", "full"] = Field(
        "sampled", description="full: the ledger hashes every tensor that leaves, not one frame in 64 (slower)."
    )

    @classmethod
    def load(cls, path: Path) -> SitePolicy:
        """Read the file; the defaults where there is none. Raises AppError CL-1422."""
        try:
            data = yaml_read(path.read_text())
        except FileNotFoundError:
            return cls()
        except PlainYamlError as error:
            raise AppError("CL-1422", f"{path} cannot be read: {error}.") from None
        except (OSError, UnicodeError) as error:
            raise AppError("CL-1422", f"{path} cannot be read ({type(error).__name__}).") from None
        try:
            return cls.model_validate(data if data is not None else {})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "the file"
            raise AppError("CL-1422", f"{path}: {field}: {first['msg']}.") from None

    def to_yaml(self) -> str:
        """The file's text, each field with its explanation."""
        values = self.model_dump(mode="json")
        lines = ["# What this site allows. Checked on this machine before every run, whatever the hub says."]
        for name, field in type(self).model_fields.items():
            if field.description:
                lines.append(f"\n# {field.description}")
            lines.append(f"{name}: {json.dumps(values[name])}")  # JSON is YAML
        return "\n".join(lines) + "\n"

    def summary(self) -> PolicySummary:
        """The limits as the hub is told them, so that its form can show them early."""
        return PolicySummary(
            topologies=list(self.topologies),
            min_head_layers=self.min_head_layers,
            min_tail_layers=self.min_tail_layers,
            models=self.models,
            max_steps=self.max_steps,
            hosts=self.hosts,
            peer_trust=self.peer_trust,
        )

    def allows_host(self, host: str) -> bool:
        """Whether tensors may go to this host."""
        return not self.hosts or any(fnmatchcase(host.lower(), pattern.lower()) for pattern in self.hosts)


def policy_write_default(home: WorkerHome, kind: Kind) -> None:
    """Write the defaults where there is no file yet; a site's own file is never touched.

    `kind` is the operator's own word, never the hub's: a site starts with `listed` unless it says that it has no data.
    """
    if not home.policy_file.exists():
        home.policy_file.write_text(SitePolicy(peer_trust="first_use" if kind == "compute" else "listed").to_yaml())
