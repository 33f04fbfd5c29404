"""Linear layers that see part of their inputs only."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class MaskedLinear(nn.Module):
    """x -> (weight o mask) x + bias, mask (out, in) of zeros and ones; (*batch, in) -> (*batch, out).

    Weights start as N(0, 2 / inputs seen) where a generator is given (He et al. 2015), at zero where not.
    """

    mask: Tensor

    def __init__(self, mask: Tensor, rng: torch.Generator | None = None) -> None:
        super().__init__()
        seen = mask.float()
        self.register_buffer("mask", seen, persistent=False)
        weight = torch.zeros_like(seen)
        if rng is not None:
            noise = torch.randn(mask.shape, generator=rng, device=rng.device).cpu()
            weight = noise * seen * (2 / seen.sum(-1, keepdim=True).clamp(min=1)).sqrt()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(len(mask)))

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight * self.mask, self.bias)

    def row(self, number: int, x: Tensor, seen: int) -> Tensor:
        """One output, of the first so many inputs; (in, n) -> (n,)."""
        return (self.weight[number, :seen] * self.mask[number, :seen]) @ x[:seen] + self.bias[number]
