"""The variational autoencoder of Kingma and Welling (2014): Gaussian latents, an MLP either way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ebmphys.energies.networks import mlp
from ebmphys.generators.base import IndependentModel, log_density
from ebmphys.rng import default_device, generator, uniforms
from ebmphys.units import Gaussian, Spin, Unit, build_unit, unit_config


class Posterior(NamedTuple):
    """The encoder's diagonal Gaussian N(z; mean, exp(log_variance)); both (*batch, latent)."""

    mean: Tensor
    log_variance: Tensor

    def at(self, noise: Tensor) -> Tensor:
        """The reparametrised sample z = mean + sigma noise; (*more, *batch, latent) -> the same."""
        return self.mean + (0.5 * self.log_variance).exp() * noise


class Bound(NamedTuple):
    """The two terms of the ELBO, in nats per configuration: ELBO = reconstruction - kl."""

    reconstruction: Tensor
    kl: Tensor


def gaussian_kl_per_latent(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, sigma^2) || N(0, 1)) = (mean^2 + sigma^2 - 1 - log sigma^2) / 2 of each latent, in nats.

    (*batch, latent) -> (*batch, latent). Near zero over all data: a latent that the model does not use.
    """
    return 0.5 * (mean**2 + log_variance.expm1() - log_variance)


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag sigma^2) || N(0, 1)) summed over latents, in nats; (*batch, latent) -> (*batch,)."""
    return gaussian_kl_per_latent(mean, log_variance).sum(-1)


class VAE(IndependentModel):
    """q(v) = integral of N(z; 0, 1) prod_i q(v_i | z) dz, with an encoder that bounds it from below.

    ``hidden`` are the sizes of the hidden layers from the input inwards; the decoder has them reversed, and
    ``()`` makes both linear. Spins and bits have a Bernoulli likelihood, and data may be -1/+1 or 0/1 for either.
    ``Gaussian(sigma)`` has q(v_i | z) = N(mu_i(z), sigma^2), with one sigma for all sites, fixed or, with
    ``learn_sigma``, learned from that start. Given z the sites are independent, so correlations beyond the latents are
    lost: on a lattice the energy of draws is too high. Weights are drawn from ``rng``, or from a stream of
    their own where none is given.
    Raises ValueError for sizes below 1, other units, or ``learn_sigma`` with a unit that has no sigma.
    """

    log_sigma2: Tensor

    def __init__(
        self,
        n_visible: int,
        hidden: Sequence[int] = (128, 128),
        latent: int = 2,
        unit: Unit | None = None,
        *,
        learn_sigma: bool = False,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.n_visible, self.hidden, self.latent = n_visible, tuple(hidden), latent
        self.unit: Unit = Spin() if unit is None else unit
        self.learn_sigma = learn_sigma
        if min(n_visible, latent, *self.hidden) < 1:
            raise ValueError(f"sizes must be 1 or more, got {n_visible} sites, hidden {self.hidden}, {latent} latents")
        if len(self.unit.values) != 2 and not isinstance(self.unit, Gaussian):
            raise ValueError(f"a VAE has two-valued or Gaussian visible units, got {self.unit.name}")
        if learn_sigma and not isinstance(self.unit, Gaussian):
            raise ValueError(f"learn_sigma needs a Gaussian unit: a {self.unit.name} has no sigma")
        place = default_device() if device is None else torch.device(device)
        stream = generator(0, "vae", "weights", device="cpu") if rng is None else rng
        self.encoder = mlp([n_visible, *self.hidden, 2 * latent], stream, place)
        self.decoder = mlp([latent, *reversed(self.hidden), n_visible], stream, place)
        if isinstance(self.unit, Gaussian):
            start = torch.tensor(self.unit.sigma, device=place).log() * 2
            self.log_sigma2 = nn.Parameter(start, requires_grad=learn_sigma)

    @property
    def visible_unit(self) -> Unit:
        if isinstance(self.unit, Gaussian):
            return Gaussian(float((0.5 * self.log_sigma2.detach()).exp()))
        return self.unit

    @property
    def config(self) -> dict[str, Any]:
        return {
            "model": "vae",
            "n_visible": self.n_visible,
            "hidden": list(self.hidden),
            "latent": self.latent,
            "unit": unit_config(self.unit),
            "learn_sigma": self.learn_sigma,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VAE:
        unit = build_unit(config["unit"])
        sizes = (config["n_visible"], config["hidden"], config["latent"])
        return cls(*sizes, unit, learn_sigma=config["learn_sigma"])

    def encode(self, v: Tensor) -> Posterior:
        """The approximate posterior of the latents; (*batch, n_visible) -> two of (*batch, latent)."""
        # Two-valued data enters as -1/+1 whichever its values, so that spins and bits train alike.
        features = (v > 0).to(next(self.parameters()).dtype) * 2 - 1 if len(self.unit.values) == 2 else v
        return Posterior(*self.encoder(features).chunk(2, dim=-1))

    def decode(self, z: Tensor) -> Tensor:
        """Natural parameters of the visible units at beta = 1, independent given z.

        (*batch, latent) -> (*batch, n_visible[, n_parameters]): log-odds of the upper value for spins and bits,
        (mu / sigma^2, 1 / sigma^2) for Gaussian units.
        """
        output: Tensor = self.decoder(z)
        if len(self.unit.values) == 2:
            return output
        precision = (-self.log_sigma2).exp().expand_as(output)
        return torch.stack([output * precision, precision], dim=-1)

    def reconstruction(self, v: Tensor, z: Tensor) -> Tensor:
        """log q(v | z), summed over sites: an average over sites would be a beta-VAE with beta = n_visible.

        (*batch, n_visible), (*more, *batch, latent) -> (*more, *batch)
        """
        return log_density(self.unit, v, self.decode(z)).sum(-1)

    def noise(self, n: int, rng: torch.Generator) -> Tensor:
        """Standard normal numbers that ``elbo`` and ``terms`` turn into latents; -> (n, latent)."""
        return torch.randn(n, self.latent, generator=rng, device=rng.device)

    def terms(self, v: Tensor, noise: Tensor) -> Bound:
        """The reconstruction log q(v | z) at z = mean + sigma noise, and KL(posterior || prior) in closed form.

        (batch, n_visible), ([draws,] batch, latent) -> ([draws,] batch), (batch,); not averaged over anything.
        """
        posterior = self.encode(v)
        return Bound(self.reconstruction(v, posterior.at(noise)), gaussian_kl(*posterior))

    def elbo(self, v: Tensor, noise: Tensor) -> Tensor:
        """The evidence lower bound, reconstruction - kl, a one-draw estimate of a lower bound of log q(v) in nats.

        (batch, n_visible), ([draws,] batch, latent) -> ([draws,] batch). The training loss is minus its batch mean.
        Kingma and Welling (2014).
        """
        bound = self.terms(v, noise)
        return bound.reconstruction - bound.kl

    def log_importance_weights(self, v: Tensor, noise: Tensor) -> Tensor:
        """log of q(v, z) / posterior(z | v) at z = mean + sigma noise; the mean of the weights is q(v), unbiased.

        (batch, n_visible), ([draws,] batch, latent) -> ([draws,] batch). Burda, Grosse and Salakhutdinov (2016).
        """
        posterior = self.encode(v)
        z = posterior.at(noise)
        prior_over_posterior = 0.5 * (noise**2 + posterior.log_variance - z**2).sum(-1)
        return self.reconstruction(v, z) + prior_over_posterior

    @torch.no_grad()
    def draw(self, n: int, rng: torch.Generator, threshold: bool = False) -> Tensor:
        """n configurations: z from the prior, then every site from the decoder; -> (n, n_visible).

        With ``threshold`` each site takes its most probable value instead (a Gaussian its mean). That is not the
        model's law: it removes the decoder's noise, and on a lattice the energy comes out too low.
        Raises ValueError for n < 1, or where model and generator are on different devices.
        """
        if n < 1:
            raise ValueError(f"the number of draws must be 1 or more, got {n}")
        if self.device.type != rng.device.type:
            raise ValueError(
                f"the model is on {self.device.type} and the generator on {rng.device.type}: make both on one"
            )
        eta = self.decode(self.noise(n, rng))
        if not threshold:
            return self.unit.draw(eta, uniforms((n, self.n_visible), rng))
        if len(self.unit.values) == 2:
            lower, upper = self.unit.values
            return torch.where(eta > 0, upper, lower)
        return self.unit.mean(eta)
