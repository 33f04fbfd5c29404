"""Networks that are told something beside what they read."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ebmphys.energies.networks import mlp
from ebmphys.generators.convolutions import Coarsening, Convolutions
from ebmphys.generators.gaussian import Posterior

_PRIOR_HIDDEN = 32


class Reader(nn.Module):
    """A network that reads a configuration, through convolutions where there are any, and numbers beside it.

    (*batch, n_visible), (*batch, width) or (width,) -> (*batch, n_outputs).
    """

    def __init__(
        self,
        n_visible: int,
        width: int,
        hidden: Sequence[int],
        n_outputs: int,
        convolutions: Convolutions | None,
        rng: torch.Generator,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.sites = nn.Identity() if convolutions is None else Coarsening(convolutions, rng, device)
        n_in = n_visible if convolutions is None else convolutions.n_features
        self.layers = mlp([n_in + width, *hidden, n_outputs], rng, device)

    def forward(self, x: Tensor, beside: Tensor) -> Tensor:
        output: Tensor = self.layers(joined(self.sites(x), beside))
        return output


class ConditionalPrior(nn.Module):
    """p(z | c) = N(mu(c), sigma^2(c)), independent latents, mu and log sigma^2 by a network that begins at N(0, 1)."""

    def __init__(self, width: int, latent: int, rng: torch.Generator, device: torch.device) -> None:
        super().__init__()
        self.latent = latent
        last = nn.utils.skip_init(nn.Linear, _PRIOR_HIDDEN, 2 * latent, device=device)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(mlp([width, _PRIOR_HIDDEN], rng, device), nn.SiLU(), last)

    def forward(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """mu and log sigma^2; (*batch, width) -> (*batch, latent) each."""
        mean, log_variance = self.layers(condition).split(self.latent, -1)
        return mean, log_variance

    def whiten(self, posterior: Posterior, condition: Tensor) -> Posterior:
        """The posterior of (z - mu) / sigma, whose prior is N(0, 1): divergences and weights are the same."""
        mean, log_variance = self(condition)
        scaled = (posterior.mean - mean) * (-0.5 * log_variance).exp()
        return Posterior(scaled, posterior.log_variance - log_variance)

    def colour(self, noise: Tensor, condition: Tensor) -> Tensor:
        """mu + sigma noise; (*batch, latent) -> the same."""
        _check_rows(noise, condition)
        mean, log_variance = self(condition)
        return mean + (0.5 * log_variance).exp() * noise


def joined(x: Tensor, beside: Tensor) -> Tensor:
    """Both side by side, the same numbers beside every x or a row for each; (*batch, n), (width,) or (batch, width).

    Raises ValueError for rows that are not as many as the x.
    """
    _check_rows(x, beside)
    return torch.cat([x, beside.expand(*x.shape[:-1], -1)], -1)


def _check_rows(x: Tensor, beside: Tensor) -> None:
    if beside.ndim > 1 and x.shape[-2] != len(beside):
        raise ValueError(f"the model is held at conditions for {len(beside)} rows and got {x.shape[-2]}")
