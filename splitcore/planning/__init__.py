"""What a run will take before it starts: memory by role, bytes and time per step, adapter size. Torch-free.

    shape = measure_folder(folder)  # splitcore.planning.measure, which loads torch; or as a worker has registered it
    plan = estimate(config, shape, clients=["Clinic A", "Bank B"])
    plan.to_dict()

Every figure is a `Range` with its reason: what it was computed from, and what moves it between low and high.
"""

from splitcore.planning.estimate import Plan, estimate
from splitcore.planning.prior import SpeedBounds, prior_speeds
from splitcore.planning.ranges import Range
from splitcore.planning.shape import ModelShape, missing_targets
from splitcore.planning.timing import Link, Speeds

__all__ = [
    "Link",
    "ModelShape",
    "Plan",
    "Range",
    "SpeedBounds",
    "Speeds",
    "estimate",
    "missing_targets",
    "prior_speeds",
]
