"""A variational autoencoder whose decoder is autoregressive: sites know of each other and not only of the latents."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from ebmphys.energies.networks import mlp, started
from ebmphys.generators.base import log_density
from ebmphys.generators.convolutions import Convolutions
from ebmphys.generators.gaussian import Posterior
from ebmphys.generators.latent_variable import LatentVariableModel
from ebmphys.generators.vae import build_encoder
from ebmphys.rng import default_device, generator, uniforms
from ebmphys.units import Spin, Unit, build_unit, unit_config


class AutoregressiveVAE(LatentVariableModel):
    """q(v) = integral of N(z; 0, 1) prod_i q(v_i | v_0, ..., v_(i-1), z) dz, bounded from below as any VAE is.

    ``hidden`` are the hidden layers of the encoder, after its ``convolutions`` where there are any, and
    ``decoder_hidden`` those of the masked network (``MaskedDecoder``). The sites need no latent to be correlated, so a
    decoder that is strong enough ignores them (Chen et al. 2017): ``free_bits`` of the objective keep them in use.
    ``full_covariance`` and ``symmetric`` as in ``VAE``.
    Raises ValueError for sizes below 1, units that are not two-valued, or a lattice without the model's sites.
    """

    def __init__(
        self,
        n_visible: int,
        hidden: Sequence[int] = (128,),
        latent: int = 2,
        unit: Unit | None = None,
        *,
        decoder_hidden: Sequence[int] = (256, 256),
        convolutions: Convolutions | None = None,
        full_covariance: bool = False,
        symmetric: bool = False,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.n_visible, self.hidden, self.latent = n_visible, tuple(hidden), latent
        self.decoder_hidden = tuple(decoder_hidden)
        self.unit = Spin() if unit is None else unit
        self.convolutions, self.full_covariance, self.symmetric = convolutions, full_covariance, symmetric
        if len(self.unit.values) != 2:
            raise ValueError(f"an autoregressive VAE has two-valued visible units, got {self.unit.name}")
        if not self.decoder_hidden or min(self.decoder_hidden) < 1:
            raise ValueError(f"the decoder needs 1 or more hidden layers of 1 or more units, got {self.decoder_hidden}")
        place = default_device() if device is None else torch.device(device)
        stream = generator(0, "autoregressive vae", "weights", device="cpu") if rng is None else rng
        self.encoder = build_encoder(n_visible, self.hidden, latent, convolutions, full_covariance, stream, place)
        self.decoder = MaskedDecoder(n_visible, self.decoder_hidden, latent, stream, place)

    @property
    def visible_unit(self) -> Unit:
        return self.unit

    @property
    def config(self) -> dict[str, Any]:
        return {
            "model": "autoregressive vae",
            "n_visible": self.n_visible,
            "hidden": list(self.hidden),
            "latent": self.latent,
            "unit": unit_config(self.unit),
            "decoder_hidden": list(self.decoder_hidden),
            "convolutions": None if self.convolutions is None else self.convolutions.config,
            "full_covariance": self.full_covariance,
            "symmetric": self.symmetric,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AutoregressiveVAE:
        options = {name: value for name, value in config.items() if name != "model"}
        options["unit"] = build_unit(config["unit"])
        if config["convolutions"] is not None:
            options["convolutions"] = Convolutions(**config["convolutions"])
        return cls(**options)

    def encode(self, v: Tensor) -> Posterior:
        return Posterior.from_outputs(self.encoder(self.features(v)), self.latent)

    def log_given(self, v: Tensor, z: Tensor) -> Tensor:
        x = (v > 0).to(z.dtype) * 2 - 1
        return log_density(self.unit, v, self.decoder(x, z)).sum(-1)

    def draw_given(self, z: Tensor, rng: torch.Generator, threshold: bool = False) -> Tensor:
        u = torch.full((len(z), self.n_visible), 0.5, device=z.device)
        x = self.decoder.drawn(z, u if threshold else uniforms(u.shape, rng))
        lower, upper = self.unit.values
        return torch.where(x > 0, upper, lower)


class MaskedDecoder(nn.Module):
    """Log-odds of +1 of each of n spins given those before it and z: a masked network (Germain et al. 2015).

    Each hidden unit has a degree d in 0, ..., n - 1, rising along its layer: it sees the spins before number d, hidden
    units of degree d or less, and all of z, which enters every layer. Spin i sees hidden units up to degree i and, by
    direct weights, the spins before it. (*batch, n) of -1/+1, (*more, latent) -> batch and more, broadcast, and n.
    """

    def __init__(self, n: int, hidden: Sequence[int], latent: int, rng: torch.Generator, device: torch.device) -> None:
        super().__init__()
        spins = torch.arange(n, device=device)
        degrees = [torch.arange(size, device=device) * n // size for size in hidden]
        # A spin shows itself to degrees above its own number.
        layers = [(spins + 1, degrees[0]), *pairwise(degrees), (degrees[-1], spins)]
        self.layers = nn.ModuleList(_Masked(above[:, None] >= below, rng, device) for below, above in layers)
        self.direct = _Masked(spins[:, None] > spins, rng, device)
        self.latents = nn.ModuleList(mlp([latent, len(above)], rng, device) for _, above in layers)
        self.bounds = [torch.searchsorted(degree, torch.arange(n + 1, device=device)).tolist() for degree in degrees]

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        below, fields = x, [layer(z) for layer in self.latents]
        for layer, field in zip(self.layers[:-1], fields, strict=False):
            below = silu(layer(below) + field)
        odds: Tensor = self.layers[-1](below) + self.direct(x) + fields[-1]
        return odds

    def drawn(self, z: Tensor, u: Tensor) -> Tensor:
        """Spins for uniforms u, one after the other: +1 where u < P(+1); (batch, latent), (batch, n) -> (batch, n).

        When spin i is due the hidden units of degree i have all that they see: each is computed once, so that all spins
        together cost what one ``forward`` costs.
        """
        x, fields = z.new_zeros(u.shape), [layer(z) for layer in self.latents]
        states = [x, *(torch.zeros_like(field) for field in fields[:-1])]
        weights, direct = [_masked(layer) for layer in self.layers], _masked(self.direct)
        for i in range(u.shape[-1]):
            for k, bounds in enumerate(self.bounds):
                due = slice(bounds[i], bounds[i + 1])
                states[k + 1][:, due] = silu(linear(states[k], weights[k][due]) + fields[k][:, due])
            odds = states[-1] @ weights[-1][i] + x @ direct[i] + fields[-1][:, i]
            x[:, i] = (u[:, i] < torch.sigmoid(odds)).to(x.dtype) * 2 - 1
        return x


class _Masked(nn.Module):
    """A linear map with the weights that the mask allows, (n_out, n_in) of booleans."""

    def __init__(self, mask: Tensor, rng: torch.Generator, device: torch.device) -> None:
        super().__init__()
        dense = started(nn.utils.skip_init(nn.Linear, mask.shape[1], mask.shape[0], device=device), rng)
        self.weight = dense.get_parameter("weight")  # no bias: what the latents add has one
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, _masked(self))


def _masked(layer: nn.Module) -> Tensor:
    return layer.get_parameter("weight") * layer.get_buffer("mask")
