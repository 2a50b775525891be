"""Time before anything has run: bounds from what each machine measured of itself, wide because little is known.

A matrix product's rate is what a processor does at its best. Training reaches a share of it that grows with the model's
width, since norms, softmax, the optimiser and the calls themselves do not become faster: on CPU, Llama-type models with
LoRA reached 15 to 47 % on a busy machine, near or below width ÷ (width + 500) (docs/methods/time-estimate.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from splitcore.planning.ranges import Range
from splitcore.planning.shape import ModelShape
from splitcore.planning.timing import Link, Speeds, StepTime

HALF_WIDTH = 500.0  # hidden width at which training reaches half of a matrix product's rate
AT_WORST, AT_BEST = 0.3, 1.4  # of the expected share: other load, other layers, launches of small kernels on a GPU
UNKNOWN_LINKS = (Link(125e6, 125e6, 0.001), Link(12.5e6, 12.5e6, 0.01), Link(2.5e6, 2.5e6, 0.04))
UNKNOWN_LINK_WORDS = "the network between the organisations is unknown, so 20 Mbit/s to 1 Gbit/s are assumed"
SAME_MACHINE_LINKS = (Link(1e9, 1e9), Link(5e8, 5e8, 0.0005), Link(1e8, 1e8, 0.002))


@dataclass(frozen=True)
class SpeedBounds:
    """The best, the likely and the worst case, and what they rest on (a sentence)."""

    best: Speeds
    likely: Speeds
    worst: Speeds
    basis: str

    @property
    def cases(self) -> tuple[Speeds, Speeds, Speeds]:
        """From the best to the worst."""
        return self.best, self.likely, self.worst


def prior_speeds(
    shape: ModelShape,
    *,
    client: float,
    server: float,
    clients: int = 1,
    same_machine: bool = False,
    link: Link | None = None,
) -> SpeedBounds:
    """Bounds from the measured matrix products of the slowest client and of the server (operations a second).

    On the same machine all halves share its processors; a link measured by an earlier run replaces the assumption.
    """
    share = shape.hidden / (shape.hidden + HALF_WIDTH)
    links = (link,) * 3 if link else SAME_MACHINE_LINKS if same_machine else UNKNOWN_LINKS
    crowd = (1.0, float(clients), clients + 1.0) if same_machine else (1.0, 1.0, 1.0)
    factors = (min(AT_BEST * share, 1.0), share, AT_WORST * share)
    best, likely, worst = (
        Speeds(client * factor / others, server * factor / (others if same_machine else 1.0), one)
        for factor, others, one in zip(factors, crowd, links, strict=True)
    )
    words = "" if link or same_machine else f"; {UNKNOWN_LINK_WORDS}"
    together = "; all parts share one machine" if same_machine else ""
    return SpeedBounds(best, likely, worst, f"From the workers' own speed measurements{together}{words}.")


def bounded(times: tuple[StepTime, StepTime, StepTime], basis: str) -> StepTime:
    """The step times of the best, the likely and the worst case as one range."""
    best, likely, worst = times
    if best.total is None or likely.total is None or worst.total is None:
        return likely
    reason = f"{basis} {likely.reason}"
    total = Range(best.total.low, likely.total.expected, worst.total.high, "s", reason)
    return StepTime(total, likely.stages, likely.bottleneck, reason)
