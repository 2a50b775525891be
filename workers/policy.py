"""The site policy: what this worker lets itself be used for. The site, not the hub, has the last word."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from processes.private_files import born
from splitcore.errors import AppError
from splitcore.policy.schema import Policy
from workers.contracts import BudgetTold, PolicySummary
from workers.settings import WorkerHome

HEX64 = re.compile(r"[0-9a-f]{64}")
Kind = Literal["data", "compute", "both"]  # of a worker


class SitePolicy(Policy):
    """`policy.yaml`."""

    @classmethod
    def load(cls, path: Path) -> SitePolicy:
        """Read the file; the defaults where there is none. Raises AppError CL-1422, also for a dangling link."""
        try:
            text = path.read_text()
        except FileNotFoundError:
            if path.is_symlink():
                raise AppError("CL-1422", f"{path} is a link to a missing file.") from None
            return cls()
        except (OSError, UnicodeError) as error:
            raise AppError("CL-1422", f"{path} can't be read ({type(error).__name__}).") from None
        return cls.parse(text, str(path))

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
            max_message_bytes=self.max_message_bytes,
            privacy_budget=BudgetTold(**found.model_dump()) if (found := self.privacy_budget) is not None else None,
        )


def policy_write_default(home: WorkerHome, kind: Kind) -> None:
    """Write the defaults where there is no file yet; a site's own file is never touched.

    `kind` is the operator's own word, never the hub's: a site starts with `listed` unless it says that it has no data.
    """
    if not os.path.lexists(home.policy_file):
        policy = SitePolicy(peer_trust="first_use" if kind == "compute" else "listed")
        born(home.policy_file, policy.to_yaml().encode)  # whole or not at all
