"""Detectors of noise that isn't what the run declares (torch). Shapes: N tokens of a row, D hidden, R rows."""

from __future__ import annotations

from collections import defaultdict

import torch

from splitcore.audit.leaks.evidence import Evidence
from splitcore.audit.leaks.found import Leak, LeakCheck
from splitcore.audit.leaks.statistics import ALARM, chi_square_below, correlated, kolmogorov
from splitcore.privacy.law import noise_among

LEAST = 0.95  # of the declared standard deviation
NUMBERS = 200_000  # of which the law is tested
AGAIN = 0.5  # of the noise's variance, in the difference of two releases of a row
MOST = 1.5  # standard deviations: beyond, what is left is more than noise
NO_NOISE = "The run declares no noise whose law is known."
OTHER_NOISE = "The detectors know Gaussian noise per token alone, where nothing else changes hidden states."
ROUNDED = "The number format rounds by more than the noise is."


def noise_law(evidence: Evidence) -> LeakCheck:
    """Less noise than declared: over all numbers, in a row, in a vector; or another law."""
    if why := _why_not(evidence):
        return LeakCheck(leak="noise_law", outcome="not_looked", told=why)
    rows = list(evidence.residuals.values())
    every_ND = torch.cat(rows)
    size = float(every_ND.square().mean().sqrt())
    if size < LEAST and _is_low(every_ND.square().sum().reshape(1), torch.tensor([every_ND.numel()])):
        return _found("noise_law", f"Its standard deviation is {size:.2f} times the declared one.")
    squares_R = torch.stack([row_ND.square().sum() for row_ND in rows])
    if _is_low(squares_R, torch.tensor([row_ND.numel() for row_ND in rows])):
        return _found("noise_law", "Some rows have less of it.")
    if _is_low(every_ND.square().sum(1), torch.full((len(every_ND),), every_ND.shape[1])):
        return _found("noise_law", "Some vectors have less of it.")
    if evidence.is_exact and kolmogorov(every_ND.flatten()[:NUMBERS]) < ALARM:
        return _found("noise_law", "Its numbers don't follow the declared law.")
    return LeakCheck(leak="noise_law", outcome="not_found")


def reused_noise(evidence: Evidence) -> LeakCheck:
    """Rows of different micro-batches whose noise is alike."""
    return _alike(evidence, "reused_noise", within=False)


def batch_noise(evidence: Evidence) -> LeakCheck:
    """Rows of one micro-batch whose noise is alike."""
    return _alike(evidence, "batch_noise", within=True)


def epoch_noise(evidence: Evidence) -> LeakCheck:
    """Releases of one row that differ, where the head is frozen: their mean has less noise than is declared."""
    if evidence.noise is None or evidence.config.lora.train_head:
        why = _no_noise(evidence) or "The head is trained, so each epoch releases other values."
        return LeakCheck(leak="epoch_noise", outcome="not_looked", told=why)
    released = defaultdict[int, list[torch.Tensor]](list)
    for crossing, row in zip(evidence.crossings, evidence.rows, strict=True):
        released[row.number].append(crossing.hidden_ND)
    again = [(one[0], other) for one in released.values() for other in one[1:]]
    if not again:
        return LeakCheck(leak="epoch_noise", outcome="not_looked", told="Each row crossed once in this audit.")
    variance = AGAIN * evidence.noise.deviation**2
    differing = sum(float((one_ND - other_ND).square().mean()) > variance for one_ND, other_ND in again)
    if differing:
        return _found("epoch_noise", f"{differing:,} of {len(again):,} releases of a row have noise of their own.")
    return LeakCheck(leak="epoch_noise", outcome="not_found")


def _alike(evidence: Evidence, leak: Leak, *, within: bool) -> LeakCheck:
    if why := _why_not(evidence):
        return LeakCheck(leak=leak, outcome="not_looked", told=why)
    places = list(evidence.residuals)
    rows = list(evidence.residuals.values())
    if float(torch.cat(rows).square().mean().sqrt()) > MOST:
        return LeakCheck(leak=leak, outcome="not_looked", told=ROUNDED)
    batches_R = torch.tensor([_batch(evidence, place) for place in places])
    numbers_R = torch.tensor([evidence.rows[place].number for place in places])
    same_RR = (batches_R[:, None] == batches_R[None, :]).all(-1)
    wanted_RR = (same_RR == within) & (numbers_R[:, None] != numbers_R[None, :])
    wanted_RR = wanted_RR.triu(1)
    pairs = int(wanted_RR.sum())
    if not pairs:
        return LeakCheck(leak=leak, outcome="not_looked", told="There are no two such rows.")
    _, chance_RR = correlated(rows)
    alike = int((chance_RR[wanted_RR] * pairs < ALARM).sum())
    if alike:
        return _found(leak, f"{alike:,} of {pairs:,} pairs of rows have like noise.")
    return LeakCheck(leak=leak, outcome="not_found")


def _batch(evidence: Evidence, place: int) -> tuple[int, int]:
    return evidence.crossings[place].step, evidence.crossings[place].micro


def _why_not(evidence: Evidence) -> str:
    return _no_noise(evidence) or ("" if evidence.residuals else "The head was never as it is public.")


def _no_noise(evidence: Evidence) -> str:
    """Why no noise is known here; empty where there is some."""
    if evidence.noise is not None:
        return ""
    return NO_NOISE if noise_among(evidence.config.privacy.defences) is None else OTHER_NOISE


def _is_low(squares: torch.Tensor, numbers: torch.Tensor) -> bool:
    """Whether the least of these sums of squares is too low for so many of them."""
    return bool(float(chi_square_below(squares, numbers).min()) * len(squares) < ALARM)


def _found(leak: Leak, told: str) -> LeakCheck:
    return LeakCheck(leak=leak, outcome="found", told=told)
