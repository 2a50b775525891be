"""The public output head as a function of what enters it, measured from outside (torch).

It is a norm and a matrix: n = Γ c/r + β, with c the input, centred or not, and r its size; logits = f(W n), with f of
each number by itself (a soft cap, a scale). So the gradient of the input, where the next token is y, is a multiple of

    g(y) = α − s_y β_y,  β_y = Nᵀ W_y,  α = Nᵀ Wᵀ (s ∘ p),  Nᵀ a = P Γ a / r,  P = I − τ b bᵀ (− 1 1ᵀ / D if centred)

with p the softmax, s the slope of f, b the direction of c and τ = ‖c‖² / (D r²), which is 1 but for the norm's ε.
Each ⟨g, g(y)⟩ and ‖g(y)‖² follows from products of a T × D with the D × V matrix, never from T × V × D numbers.

Shapes: T tokens, D hidden, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from splitcore.errors import AppError
from splitcore.models.carve import Segment, hidden_width

SIZE = 1e3  # of the numbers that are put through the norm to measure it, so that its ε is nothing to them
DEVIATION = 0.01  # from the formula for n, as a share of its length
LEAST = 1e-12  # of ‖g(y)‖², as a share of ‖β_y‖²: below that it is rounding


@dataclass(frozen=True)
class _Pass:
    """What one pass through the head has shown of T tokens: n, softmax and slope."""

    normed_TD: torch.Tensor
    chance_TV: torch.Tensor
    slope_TV: torch.Tensor


@dataclass(frozen=True)
class _Jacobian:
    """Nᵀ of T tokens, but for Γ: v ↦ (v − τ b ⟨b, v⟩) / r for a centred v."""

    direction_TD: torch.Tensor
    tau_T1: torch.Tensor
    inverse_T1: torch.Tensor  # 1 / r

    def __call__(self, vectors_TD: torch.Tensor) -> torch.Tensor:
        along_T1 = (vectors_TD * self.direction_TD).sum(1, keepdim=True)
        return (vectors_TD - self.tau_T1 * along_T1 * self.direction_TD) * self.inverse_T1


class OutputHead:
    """The final norm and the output head. Computes in fp64, since ‖g(y)‖² is a small difference where p_y is near 1."""

    def __init__(self, segment: Segment) -> None:
        """`segment`: the last layers without a decoder layer, in fp32. Raises AppError CL-1108."""
        self._segment = segment
        self._output: Any = segment.model.get_output_embeddings()
        weight_VD: torch.Tensor = self._output.weight.detach().double()
        if weight_VD.shape[1] != hidden_width(segment.model.config):
            raise AppError("CL-1108")
        sign_D = 1.0 - 2.0 * (torch.arange(weight_VD.shape[1]) % 2)
        probes_TD = SIZE * torch.stack((sign_D, -sign_D, sign_D + 1.0))
        plus_D, minus_D, moved_D = self._run(probes_TD).normed_TD
        self._gain_D, self._shift_D = (plus_D - minus_D) / 2 * sign_D, (plus_D + minus_D) / 2
        self._is_centred = bool((moved_D - plus_D).norm() < DEVIATION * plus_D.norm())
        self._rows_VD = self._centred(weight_VD * self._gain_D)
        self._square_V = self._rows_VD.square().sum(1)

    def compared(self, entering_TD: torch.Tensor, gradient_TD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(T, V) each: the cosine between a gradient of what enters and g(y), and how many times g(y) it is.

        Raises AppError CL-1108.
        """
        passed = self._run(entering_TD)
        transposed = self._jacobian(entering_TD, passed.normed_TD)
        slope_TV, size_T1 = passed.slope_TV, gradient_TD.double().norm(dim=1, keepdim=True)
        gradient_TD = self._centred(gradient_TD.double())
        alpha_TD = transposed((slope_TV * passed.chance_TV) @ self._rows_VD)
        beta_TV = transposed(gradient_TD) @ self._rows_VD.t()  # ⟨g, β_y⟩
        product_TV = (gradient_TD * alpha_TD).sum(1, keepdim=True) - slope_TV * beta_TV
        square_TV = self._squares(transposed)
        both_TV = transposed(alpha_TD) @ self._rows_VD.t()  # ⟨α, β_y⟩
        length_TV = alpha_TD.square().sum(1, keepdim=True) - 2 * slope_TV * both_TV + slope_TV.square() * square_TV
        length_TV = torch.maximum(length_TV, LEAST * square_TV).sqrt()
        return product_TV / length_TV / size_T1, product_TV / length_TV.square()

    def _squares(self, transposed: _Jacobian) -> torch.Tensor:
        """‖β_y‖² (T, V): P² is P with 2τ − τ² for τ."""
        along_TV = transposed.direction_TD @ self._rows_VD.t()
        twice_T1 = transposed.tau_T1 * (2 - transposed.tau_T1)
        return (self._square_V - twice_T1 * along_TV.square()) * transposed.inverse_T1.square()

    def _jacobian(self, entering_TD: torch.Tensor, normed_TD: torch.Tensor) -> _Jacobian:
        centred_TD = self._centred(entering_TD.double())
        stretched_TD, found_TD = centred_TD * self._gain_D, normed_TD - self._shift_D
        inverse_T1 = (found_TD * stretched_TD).sum(1, keepdim=True) / stretched_TD.square().sum(1, keepdim=True)
        if (found_TD - inverse_T1 * stretched_TD).norm() > DEVIATION * found_TD.norm():
            raise AppError("CL-1108")
        size_T1 = centred_TD.norm(dim=1, keepdim=True)
        tau_T1 = (size_T1 * inverse_T1).square() / centred_TD.shape[1]
        return _Jacobian(centred_TD / size_T1, tau_T1, inverse_T1)

    def _centred(self, vectors_ND: torch.Tensor) -> torch.Tensor:
        return vectors_ND - vectors_ND.mean(1, keepdim=True) if self._is_centred else vectors_ND

    def _run(self, entering_TD: torch.Tensor) -> _Pass:
        """One pass, with the matrix's input and output read where they are."""
        seen: list[torch.Tensor] = []

        def keep(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], raw: torch.Tensor) -> torch.Tensor:
            seen.extend((inputs[0].detach(), raw.detach().requires_grad_()))
            return seen[1]

        hook = self._output.register_forward_hook(keep)
        try:
            mask_T1 = torch.ones(len(entering_TD), 1, dtype=torch.int64)
            logits_T1V = self._segment(mask_T1, hidden_BLD=entering_TD.detach().unsqueeze(1))
        finally:
            hook.remove()
        (slope_T1V,) = torch.autograd.grad(logits_T1V.sum(), seen[1])
        normed_T1D, chance_T1V = seen[0], logits_T1V.detach().double().softmax(-1)
        return _Pass(normed_T1D[:, 0].double(), chance_T1V[:, 0], slope_T1V[:, 0].double())
