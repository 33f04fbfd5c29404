"""The contract of models with latent variables, and everything that follows from an encoder and a conditional law."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from ebmphys.generators.base import IndependentModel, log_density
from ebmphys.generators.gaussian import Posterior
from ebmphys.rng import uniforms
from ebmphys.units import Unit


class Bound(NamedTuple):
    """The terms of the ELBO, in nats per configuration: ELBO = reconstruction - kl."""

    reconstruction: Tensor
    kl_per_latent: Tensor

    @property
    def kl(self) -> Tensor:
        return self.kl_per_latent.sum(-1)


class LatentVariableModel(IndependentModel):
    """q(v) = integral of N(z; 0, 1) q(v | z) dz over ``latent`` numbers z, with an encoder that bounds it from below.

    ``unit`` is the kind of every visible site. Where the model is ``symmetric`` the conditional law that an
    implementation gives, q_0, is half of a mixture: q(v | z) = (q_0(v | z) + q_0(-v | z)) / 2, and q(-v) = q(v) exactly
    (-v: each two-valued site at its other value). The sign is summed out, and never a latent.
    """

    latent: int
    unit: Unit
    symmetric: bool = False

    @abstractmethod
    def encode(self, v: Tensor) -> Posterior:
        """The approximate posterior of the latents; (*batch, n_visible) -> (*batch, latent) each."""

    @abstractmethod
    def log_given(self, v: Tensor, z: Tensor) -> Tensor:
        """log q_0(v | z), summed over sites: an average over sites would be a beta-VAE with beta = n_visible.

        (*batch, n_visible), (*more, latent) -> batch and more, broadcast.
        """

    @abstractmethod
    def draw_given(self, z: Tensor, rng: torch.Generator, threshold: bool = False) -> Tensor:
        """A configuration from q_0(v | z) for each z, or the likeliest value site by site; -> (n, n_visible)."""

    def log_conditional(self, v: Tensor, z: Tensor) -> Tensor:
        """log q(v | z) in nats; (*batch, n_visible), (*more, latent) -> batch and more, broadcast."""
        one = self.log_given(v, z)
        if not self.symmetric:
            return one
        return torch.logaddexp(one, self.log_given(turned(self.unit, v), z)) - math.log(2)

    def features(self, v: Tensor) -> Tensor:
        """What an encoder is shown: two-valued data as -1/+1 whichever its values, so that spins and bits train alike;
        where the model is symmetric turned over to m >= 0, so that v and -v have one posterior."""
        x = v.to(next(self.parameters()).dtype)
        if len(self.unit.values) == 2:
            x = (x > 0).to(x.dtype) * 2 - 1
        if not self.symmetric:
            return x
        total = x.sum(-1, keepdim=True)
        return torch.where(torch.where(total == 0, x[..., :1], total) < 0, -x, x)

    def noise(self, n: int, rng: torch.Generator) -> Tensor:
        """Standard normal numbers that ``elbo`` and ``terms`` turn into latents; -> (n, latent)."""
        return torch.randn(n, self.latent, generator=rng, device=rng.device)

    def terms(self, v: Tensor, noise: Tensor) -> Bound:
        """The reconstruction log q(v | z) at the posterior's z, and KL(posterior || prior) in closed form.

        (batch, n_visible), ([draws,] batch, latent) -> ([draws,] batch), (batch, latent); not averaged over anything.
        """
        posterior = self.encode(v)
        return Bound(self.log_conditional(v, posterior.at(noise)), posterior.kl_per_latent())

    def elbo(self, v: Tensor, noise: Tensor) -> Tensor:
        """The evidence lower bound, reconstruction - kl, a one-draw estimate of a lower bound of log q(v) in nats.

        (batch, n_visible), ([draws,] batch, latent) -> ([draws,] batch). The training loss is minus its batch mean.
        Kingma and Welling (2014).
        """
        bound = self.terms(v, noise)
        return bound.reconstruction - bound.kl

    def log_importance_weights(self, v: Tensor, noise: Tensor) -> Tensor:
        """log of q(v, z) / posterior(z | v) at the posterior's z; the mean of the weights is q(v), unbiased.

        (batch, n_visible), ([draws,] batch, latent) -> ([draws,] batch). Burda, Grosse and Salakhutdinov (2016).
        """
        posterior = self.encode(v)
        return self.log_conditional(v, posterior.at(noise)) + posterior.log_prior_over(noise)

    @torch.no_grad()
    def draw(self, n: int, rng: torch.Generator, threshold: bool = False) -> Tensor:
        """n configurations: z from the prior, then the sites given z; -> (n, n_visible).

        With ``threshold`` each site takes its most probable value instead (a Gaussian its mean). That is not the
        model's law: it removes the conditional's noise, and on a lattice the energy comes out too low.
        Raises ValueError for n < 1, or where model and generator are on different devices.
        """
        self.check_draws(n, rng)
        v = self.draw_given(self.noise(n, rng), rng, threshold)
        if not self.symmetric:
            return v
        return torch.where(uniforms((n, 1), rng) < 0.5, turned(self.unit, v), v)


class FactorisedModel(LatentVariableModel):
    """A latent variable model whose sites are independent given z: all correlations go through the latents.

    Where the latents are fewer than what the sites say to each other the energy of draws is too high on a lattice.
    """

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """Natural parameters of the visible units at beta = 1, independent given z.

        (*batch, latent) -> (*batch, n_visible[, n_parameters]): log-odds of the upper value for spins and bits,
        (mu / sigma^2, 1 / sigma^2) for Gaussian units.
        """

    def log_given(self, v: Tensor, z: Tensor) -> Tensor:
        return log_density(self.unit, v, self.decode(z)).sum(-1)

    def draw_given(self, z: Tensor, rng: torch.Generator, threshold: bool = False) -> Tensor:
        eta = self.decode(z)
        if not threshold:
            return self.unit.draw(eta, uniforms((len(z), self.n_visible), rng))
        if len(self.unit.values) == 2:
            lower, upper = self.unit.values
            return torch.where(eta > 0, upper, lower)
        return self.unit.mean(eta)


def turned(unit: Unit, v: Tensor) -> Tensor:
    """-v: two-valued sites, in either convention of the data, at their other value, others with their sign changed."""
    if len(unit.values) == 2:
        return torch.where(v > 0, unit.values[0], unit.values[1]).to(v.dtype)
    return -v
