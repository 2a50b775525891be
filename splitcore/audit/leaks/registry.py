"""Every detector, and all of them on one transcript (torch)."""

from __future__ import annotations

from collections.abc import Callable

from splitcore.audit.leaks.evidence import Evidence
from splitcore.audit.leaks.found import Leak, LeakCheck
from splitcore.audit.leaks.noise import batch_noise, epoch_noise, noise_law, reused_noise
from splitcore.audit.leaks.values import lengths, token_ids, zero_rows

Detector = Callable[[Evidence], LeakCheck]

DETECTORS: dict[Leak, Detector] = {
    "token_ids": token_ids,
    "noise_law": noise_law,
    "reused_noise": reused_noise,
    "batch_noise": batch_noise,
    "epoch_noise": epoch_noise,
    "zero_rows": zero_rows,
    "lengths": lengths,
}


def looked_for(evidence: Evidence) -> list[LeakCheck]:
    """Each leak, in the order of the table."""
    return [detector(evidence) for detector in DETECTORS.values()]
