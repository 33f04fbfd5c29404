"""The variational autoencoder of Kingma and Welling (2014): Gaussian latents, a network either way."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.energies.networks import mlp
from ebmphys.generators.convolutions import Coarsening, Convolutions, writer
from ebmphys.generators.gaussian import Posterior
from ebmphys.generators.latent_variable import FactorisedModel
from ebmphys.rng import default_device, generator
from ebmphys.units import Gaussian, Spin, Unit, build_unit, unit_config


class VAE(FactorisedModel):
    """q(v) = integral of N(z; 0, 1) prod_i q(v_i | z) dz, with an encoder that bounds it from below.

    ``hidden`` are the sizes of the hidden layers from the input inwards; the decoder has them reversed, and
    ``()`` makes both linear. With ``convolutions`` on a periodic lattice these come before them, and after them on the
    way back. Spins and bits have a Bernoulli likelihood, and data may be -1/+1 or 0/1 for either.
    ``Gaussian(sigma)`` has q(v_i | z) = N(mu_i(z), sigma^2), with one sigma for all sites, fixed or, with
    ``learn_sigma``, learned from that start, with ``per_site`` one each. ``full_covariance`` lets the posterior
    correlate the latents; ``symmetric`` makes q(-v) = q(v) (``LatentVariableModel``). Given z the sites are
    independent, so correlations beyond the latents are lost: on a lattice the energy of draws is too high. Weights are
    drawn from ``rng``, or from a stream of their own where none is given.
    Raises ValueError for sizes below 1, other units, a lattice without the model's sites, or where a sigma is to be
    learned that the unit does not have.
    """

    log_sigma2: Tensor

    def __init__(
        self,
        n_visible: int,
        hidden: Sequence[int] = (128, 128),
        latent: int = 2,
        unit: Unit | None = None,
        *,
        convolutions: Convolutions | None = None,
        learn_sigma: bool = False,
        per_site: bool = False,
        full_covariance: bool = False,
        symmetric: bool = False,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.n_visible, self.hidden, self.latent = n_visible, tuple(hidden), latent
        self.unit = Spin() if unit is None else unit
        self.convolutions, self.full_covariance, self.symmetric = convolutions, full_covariance, symmetric
        self.learn_sigma, self.per_site = learn_sigma, per_site
        if len(self.unit.values) != 2 and not isinstance(self.unit, Gaussian):
            raise ValueError(f"a VAE has two-valued or Gaussian visible units, got {self.unit.name}")
        if learn_sigma and not isinstance(self.unit, Gaussian):
            raise ValueError(f"learn_sigma needs a Gaussian unit: a {self.unit.name} has no sigma")
        if per_site and not learn_sigma:
            raise ValueError("per_site is for a sigma that is learned: set learn_sigma too")
        place = default_device() if device is None else torch.device(device)
        stream = generator(0, "vae", "weights", device="cpu") if rng is None else rng
        self.encoder = build_encoder(n_visible, self.hidden, latent, convolutions, full_covariance, stream, place)
        self.decoder = writer(latent, self.hidden, n_visible, convolutions, stream, place)
        if isinstance(self.unit, Gaussian):
            start = torch.full((n_visible,) if per_site else (), self.unit.sigma, device=place).log() * 2
            self.log_sigma2 = nn.Parameter(start, requires_grad=learn_sigma)

    @property
    def visible_unit(self) -> Unit:
        """The unit of every site; where each has a sigma of its own, with the root mean square of them."""
        if isinstance(self.unit, Gaussian):
            return Gaussian(float(self.log_sigma2.detach().exp().mean().sqrt()))
        return self.unit

    @property
    def config(self) -> dict[str, Any]:
        return {
            "model": "vae",
            "n_visible": self.n_visible,
            "hidden": list(self.hidden),
            "latent": self.latent,
            "unit": unit_config(self.unit),
            "convolutions": None if self.convolutions is None else self.convolutions.config,
            "learn_sigma": self.learn_sigma,
            "per_site": self.per_site,
            "full_covariance": self.full_covariance,
            "symmetric": self.symmetric,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VAE:
        options = {name: value for name, value in config.items() if name != "model"}
        options["unit"] = build_unit(config["unit"])
        if config.get("convolutions") is not None:
            options["convolutions"] = Convolutions(**config["convolutions"])
        return cls(**options)

    def encode(self, v: Tensor) -> Posterior:
        return Posterior.from_outputs(self.encoder(self.features(v)), self.latent)

    def decode(self, z: Tensor) -> Tensor:
        output: Tensor = self.decoder(z)
        if len(self.unit.values) == 2:
            return output
        precision = (-self.log_sigma2).exp().expand_as(output)
        return torch.stack([output * precision, precision], dim=-1)


def build_encoder(
    n_visible: int,
    hidden: Sequence[int],
    latent: int,
    convolutions: Convolutions | None,
    full_covariance: bool,
    rng: torch.Generator,
    device: torch.device,
) -> nn.Sequential:
    """A network (*batch, n_visible) -> the numbers of a ``Posterior``, convolutions first where there are any.

    Raises ValueError for sizes below 1, and for a lattice that has not the model's sites.
    """
    if min(n_visible, latent, *hidden) < 1:
        raise ValueError(f"sizes must be 1 or more, got {n_visible} sites, hidden {tuple(hidden)}, {latent} latents")
    n_outputs = 2 * latent + (latent * (latent - 1) // 2 if full_covariance else 0)
    if convolutions is None:
        return mlp([n_visible, *hidden, n_outputs], rng, device)
    if prod(convolutions.shape) != n_visible:
        raise ValueError(f"a lattice of shape {convolutions.shape} has not {n_visible} sites")
    coarsening = Coarsening(convolutions, rng, device)
    return nn.Sequential(coarsening, *mlp([convolutions.n_features, *hidden, n_outputs], rng, device))
