"""A site that lets no more leave: the run ends within the step, with the site's code at both halves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from splitcore.checkpoints.files import checkpoint_steps
from splitcore.control.events import StepFinished
from splitcore.errors import AppError
from splitcore.training.tests.conftest import run_config
from splitcore.training.tests.grpc_halves import Halves
from splitcore.wire.protocol.messages import PeerError


class Budget:
    """Lets messages of so many bytes leave; what it counts is what went."""

    def __init__(self, most: int) -> None:
        self.most, self.admitted, self.left = most, 0, 0

    def admit(self, nbytes: int) -> None:
        """See `Egress.admit`."""
        if self.admitted + nbytes > self.most:
            raise AppError("CL-1429")
        self.admitted += nbytes

    def leaves(self, label: str, frame: bytes, header_bytes: int) -> None:
        """See `Egress.leaves`."""
        self.left += len(frame) if label not in ("control", "sent again") else 0


@pytest.mark.promise(11, figure="ends within the step")
def test_the_budget_ends_the_run_within_the_step_and_its_checkpoints_stay_whole(
    model: Callable[[str], Path], tmp_path: Path
) -> None:
    config = run_config(
        model("llama"), training={"steps": 8, "micro_batches": 2, "eval_every": 0, "checkpoint_every": 2}
    )
    unbounded = Halves(config, tmp_path / "unbounded")
    unbounded.egress = whole = Budget(1 << 40)
    after_step: list[int] = []
    unbounded.on_step = lambda _step: after_step.append(whole.admitted)
    unbounded.run()

    halves = Halves(config, tmp_path / "bounded")
    halves.egress = budget = Budget(after_step[4])  # enough for five steps, to the byte
    halves.join(halves.start())

    assert isinstance(halves.errors["a"], AppError)
    assert halves.errors["a"].code == "CL-1429"
    assert isinstance(halves.errors["server"], PeerError)
    assert halves.errors["server"].code == "CL-1429"
    steps = [event.step for event in halves.events if isinstance(event, StepFinished) and event.party == "a"]
    assert len(steps) == 5
    assert budget.left == budget.admitted <= budget.most, "no message has left in part"
    for half in ("a", "server"):
        assert checkpoint_steps(tmp_path / "bounded" / "checkpoints" / half)[-1] == 4
