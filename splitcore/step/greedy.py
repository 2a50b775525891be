"""Greedy decoding, the same wherever the output head is."""

from __future__ import annotations

import torch


def next_tokens(logits_BLV: torch.Tensor, mask_BL: torch.Tensor) -> list[int]:
    """The most likely token after each row's last real one."""
    last_B = mask_BL.sum(dim=1) - 1
    rows_B = torch.arange(len(last_B), device=logits_BLV.device)
    return [int(token) for token in logits_BLV[rows_B, last_B].argmax(dim=-1)]
