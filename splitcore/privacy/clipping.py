"""Bounds for what noise is added to (torch). In fp32, whatever the head computes in, and rounded once, at the end.

Shapes: B rows, L tokens of the longest, N real tokens of a row, D hidden.
"""

from __future__ import annotations

import torch

SHORTEST = 1e-12  # of a norm: nothing is divided by zero


def clipped_tokens(tensor_BLD: torch.Tensor, mask_BL: torch.Tensor, clip: float) -> torch.Tensor:
    """h · min(1, C / ‖h‖) for each token, and zeros at padding."""
    exact_BLD = tensor_BLD.float()
    norm_BL1 = torch.linalg.vector_norm(exact_BLD, dim=-1, keepdim=True)
    real_BL1 = mask_BL.to(tensor_BLD.device).bool().unsqueeze(-1)
    factor_BL1 = (clip / norm_BL1.clamp_min(SHORTEST)).clamp_max(1.0)
    return torch.where(real_BL1, exact_BLD * factor_BL1, 0.0)


def clipped_rows(tensor_BLD: torch.Tensor, mask_BL: torch.Tensor, clip: float) -> torch.Tensor:
    """H · min(1, C / ‖H‖) for each row, ‖H‖ the Frobenius norm of its real tokens' vectors, and zeros at padding."""
    exact_BLD = tensor_BLD.float()
    real_BL = mask_BL.to(tensor_BLD.device).bool()
    # row by row, since a sum has other bits with other padding in it, and other values would get other noise
    norm_B = torch.stack([_norm(row_LD[real_L]) for row_LD, real_L in zip(exact_BLD, real_BL, strict=True)])
    factor_B = (clip / norm_B.clamp_min(SHORTEST)).clamp_max(1.0)
    return torch.where(real_BL.unsqueeze(-1), exact_BLD * factor_B[:, None, None], 0.0)


def _norm(row_ND: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(torch.linalg.vector_norm(row_ND, dim=-1))
