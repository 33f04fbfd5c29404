"""Diffusion by covering up: sites are hidden one after another until none is seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ebmphys.generators.diffusion.base import DEFAULT_NETWORK, Diffusion
from ebmphys.rng import uniforms
from ebmphys.units import Unit


class AbsorbingDiffusion(Diffusion):
    """Every site is hidden from a step on that is uniform in 1 ... T, and stays hidden (Austin et al. 2021).

    Backwards, sites are uncovered in random order, those of one step independently given what is seen already; the
    network needs no time, since what is hidden says all. Without ``steps`` there are infinitely many: sites come one by
    one, and the model is an autoregressive one of any order (Uria, Murray and Larochelle 2014; Hoogeboom et al. 2022):
    nothing is lost by independence, and with the best guesses the bound is log q itself. A draw takes as many passes
    through the network as there are sites at most.
    """

    name: ClassVar[str] = "absorbing-diffusion"
    symbols: ClassVar[tuple[float, ...]] = (-1.0, 1.0, 0.0)
    reads: ClassVar[tuple[int, int]] = (2, 0)

    def __init__(
        self,
        n_visible: int,
        steps: int | None = None,
        network: Mapping[str, Any] = DEFAULT_NETWORK,
        unit: Unit | None = None,
        *,
        symmetric: bool = False,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(n_visible, steps, network, unit, symmetric=symmetric, rng=rng, device=device)

    def logits(self, x: Tensor) -> Tensor:
        """Log-odds of +1 of every site of x_0 given those of x_t that are seen, the others 0; (*batch, n) -> the same.

        Of a site that is seen they mean nothing.
        """
        return self.guess(torch.stack([x, (x == 0).to(x.dtype)], -2), x.new_zeros(0))

    def share(self, u: Tensor) -> Tensor:
        """The share of sites that is hidden at the time that a uniform number stands for; (*batch,) -> (*batch,)."""
        if self.steps is None:
            return 1 - u
        return ((u.double() * self.steps).floor() + 1).to(u.dtype) / self.steps

    def elbo(self, v: Tensor, noise: Tensor) -> Tensor:
        clean, share = self.spins(v), self.share(noise[..., 0])[..., None]
        hidden = noise[..., 1:] < share
        log_p = logsigmoid(clean * self.logits(torch.where(hidden, 0.0, clean)))
        # In step t, 1/t of the hidden sites are uncovered, and each step is one of T: T/t is one over the share.
        return (hidden * log_p / share).sum(-1)

    @torch.no_grad()
    def log_weights(self, v: Tensor, rng: torch.Generator) -> Tensor:
        clean = self.spins(v)
        total = clean.new_zeros(clean.shape[:-1])
        # When a site is hidden is as probable forwards as backwards: only what was there counts.
        for seen, now in self._order(clean.shape, None, rng):
            log_p = logsigmoid(clean * self.logits(clean * seen))
            total += (log_p * now).sum(-1)
        return total

    @torch.no_grad()
    def transition(self, x: Tensor, t: int, s: int) -> Tensor:
        upper = self.logits(x).sigmoid()
        uncovered = torch.stack([1 - upper, upper, torch.zeros_like(x)], -1) * (1 - s / t)
        uncovered[..., 2] = s / t
        as_it_is = (x[..., None] == torch.tensor(self.symbols, device=x.device)).to(x.dtype)
        return torch.where((x == 0)[..., None], uncovered, as_it_is)

    @torch.no_grad()
    def draw(self, n: int, rng: torch.Generator, steps: int | None = None) -> Tensor:
        self.check_draws(n, rng)
        x = next(self.parameters()).new_zeros(n, self.n_visible)
        for _, now in self._order(x.shape, steps, rng):
            upper = uniforms(x.shape, rng) < self.logits(x).sigmoid()
            x = torch.where(now, torch.where(upper, 1.0, -1.0).to(x.dtype), x)
        return self.values(x)

    def _order(self, shape: torch.Size, steps: int | None, rng: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Which sites are seen already and which are uncovered now, from the first that is uncovered.

        Steps that uncover nothing are passed over, of each configuration for itself.
        """
        u = uniforms(shape, rng)
        if steps is None and self.steps is None:
            step = u.argsort(-1)
        else:
            grid = self.grid(steps)
            edges = torch.tensor(grid[:0:-1], dtype=u.dtype, device=u.device)
            step = -torch.bucketize(u * grid[0], edges, right=True)  # hidden last, uncovered first
        sorted_steps, order = step.sort(-1)
        new = torch.ones_like(step)
        new[..., 1:] = sorted_steps[..., 1:] > sorted_steps[..., :-1]
        rank = torch.empty_like(step).scatter_(-1, order, new.cumsum(-1) - 1)
        for turn in range(int(rank.max()) + 1):
            yield rank < turn, rank == turn
