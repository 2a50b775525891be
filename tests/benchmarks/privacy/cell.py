"""One cell: a training that shows what the setting costs, and an audit that shows what is read of it."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

import splitcore
from splitcore import RunConfig
from splitcore.audit.result import AuditResult
from splitcore.control.events import SERVER, Event, StepFinished
from tests.benchmarks.codecs import held_out_loss
from tests.benchmarks.frame import Scale
from tests.benchmarks.privacy.models import recipe
from tests.benchmarks.privacy.portfolio import portfolio_of
from tests.benchmarks.privacy.settings import Setting


@dataclass(frozen=True)
class Cell:
    """before, after: held-out loss. bytes, seconds: of the training. audit: an `AuditResult`."""

    key: str
    model: str
    task: str
    defence: str
    strength: str
    seed: int
    before: float
    after: float
    bytes: int
    seconds: float
    audit: dict[str, Any]

    def line(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, line: str) -> Cell:
        """From `line`."""
        return cls(**json.loads(line))

    @property
    def result(self) -> AuditResult:
        """The audit."""
        return AuditResult.model_validate(self.audit)

    @property
    def words(self) -> str:
        """For the one who waits."""
        read = ", ".join(f"{one.channel.value} {one.figures.tokens.value:.1%}" for one in self.result.channels)
        return f"loss {self.before:.2f} to {self.after:.2f}; {read}{'' if self.result.valid else ' (INVALID)'}"


def measured(setting: Setting, scale: Scale) -> Cell:
    """Train and audit. Raises AppError as `fine_tune` and `audit` do."""
    from splitcore.audit.run import audit

    torch.set_num_threads(1)
    how = recipe(setting.model, scale)
    config = RunConfig.parse({**how.config(setting.seed), **setting.changes})
    with tempfile.TemporaryDirectory(prefix="cutlayer-frontier-") as scratch:
        before = held_out_loss(how.folder, None, how.measured_rows)
        sent = list[int]()

        def note(event: Event) -> None:
            if isinstance(event, StepFinished) and event.party != SERVER:
                sent.append(event.uplink_bytes + event.downlink_bytes)

        begin = perf_counter()
        out = Path(scratch) / "run"
        splitcore.fine_tune(config, {"a": how.rows}, out=out, on_event=note)
        seconds = perf_counter() - begin
        after = held_out_loss(how.folder, out / "adapter", how.measured_rows)
        found = audit(config, how.audited_rows, Path(scratch) / "audit", portfolio_of(setting.model), seed=setting.seed)
    return Cell(
        key=setting.key(scale),
        model=setting.model,
        task=setting.task,
        defence=setting.defence,
        strength=setting.strength,
        seed=setting.seed,
        before=before,
        after=after,
        bytes=sum(sent),
        seconds=seconds,
        audit=found.model_dump(mode="json"),
    )
