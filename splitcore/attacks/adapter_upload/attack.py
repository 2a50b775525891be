"""The attack `adapter_upload` (torch). Shapes: R rows of a gradient, D inputs of a module, V vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import torch

from splitcore.attacks.adapter_upload.pursuit import Atoms, tokens_in
from splitcore.attacks.interface import Knowledge
from splitcore.attacks.transcript import Transcript, Upload
from splitcore.errors import AppError

FIRST = (".layers.0.", ".h.0.")  # the first decoder layer, as the model types that are supported name it
GRADIENT = ".lora_A.weight"
AT_ONCE = 4096  # tokens in a pass through the head
SAME = 1e-5  # relative


class AdapterUploadAttack:
    """∂L/∂A = s Bᵀ Σ_t g_t x_tᵀ: its rows are sums of inputs x_t, and the first layer's follow from the tokens."""

    def guess(self, transcript: Transcript, knowledge: Knowledge) -> list[torch.Tensor]:
        """The distinct token ids of each upload of gradients, in order; see `Attack.guess`. Raises AppError CL-1562."""
        groups = _inputs(knowledge, _adapted(transcript.uploads))
        return [_read(upload, groups) for upload in transcript.uploads if upload.is_gradient]


def _read(upload: Upload, groups: Sequence[tuple[list[str], Atoms]]) -> torch.Tensor:
    found = set[int]()
    for modules, atoms in groups:
        rows_RD = torch.cat([upload.tensors[module + GRADIENT].float() for module in modules])
        if bool(rows_RD.any()):
            found.update(tokens_in(rows_RD, atoms))
    return torch.tensor(sorted(found), dtype=torch.int64)


def _adapted(uploads: Sequence[Upload]) -> list[str]:
    """The first layer's modules that have an adapter."""
    names = {name for upload in uploads if upload.is_gradient for name in upload.tensors}
    return sorted(
        name.removesuffix(GRADIENT)
        for name in names
        if any(first in name for first in FIRST) and name.endswith(GRADIENT)
    )


def _inputs(knowledge: Knowledge, modules: Sequence[str]) -> list[tuple[list[str], Atoms]]:
    """Modules with one input, and that input for every token: of those whose input depends on the token alone.

    Raises AppError CL-1562 where there is none.
    """
    probes_BL = torch.tensor([[3, 4, 5], [6, 4, 4]])
    seen = _entering(knowledge, modules, probes_BL)
    of_token = [name for name in modules if _same(seen[name][0, 1], seen[name][1, 1], seen[name][1, 2])]
    groups = list[list[str]]()
    for name in of_token:
        alike = next((group for group in groups if _same(seen[group[0]], seen[name])), None)
        groups.append([name]) if alike is None else alike.append(name)
    if not groups:
        raise AppError("CL-1562")
    ids_V = torch.arange(len(knowledge.embedding))
    parts = [_entering(knowledge, [g[0] for g in groups], part[:, None]) for part in ids_V.split(AT_ONCE)]
    return [(group, Atoms(torch.cat([part[group[0]][:, 0] for part in parts]).float())) for group in groups]


@torch.no_grad()
def _entering(knowledge: Knowledge, modules: Sequence[str], ids_BL: torch.Tensor) -> dict[str, torch.Tensor]:
    """What enters each module (B, L, D) for rows of tokens."""
    own, found = dict(knowledge.head.model.named_modules()), dict[str, torch.Tensor]()
    with ExitStack() as hooks:
        for name in modules:

            def keep(
                module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: object, name: str = name
            ) -> None:
                found[name] = inputs[0].detach()

            hooks.callback(own[name].register_forward_hook(keep).remove)
        knowledge.head(torch.ones_like(ids_BL), ids_BL=ids_BL)
    return found


def _same(first: torch.Tensor, *others: torch.Tensor) -> bool:
    return all(first.shape == one.shape and bool((first - one).norm() <= SAME * first.norm()) for one in others)
