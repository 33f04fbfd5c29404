"""The generator of a generative adversarial network for two-valued sites: noise through a network, no likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.generators.base import IndependentModel
from ebmphys.generators.site_networks import site_network
from ebmphys.rng import default_device, generator, uniforms
from ebmphys.units import Spin, Unit, build_unit, unit_config

_HALF_STEP = 2.0**-25  # of the uniforms' grid, where the logit would be infinite


class GAN(IndependentModel):
    """Spins with log-odds that a network makes of Gaussian noise: v_i = sign(eta_i(z) + logistic noise).

    Learned by ``Adversarial``, against a critic that tells its draws from data (Goodfellow et al. 2014; Arjovsky,
    Chintala and Bottou 2017). It says nothing of how likely a configuration is: there is no log q, no bound, and
    nothing in its training punishes a state that is never drawn. ``fields`` normal numbers a site are the noise;
    a convolutional network makes of them a law that translations leave as it is, and with ``symmetric`` each draw is
    turned over with probability 1/2, q(-v) = q(v). Weights are drawn from ``rng``, or from a stream of their own where
    none is given. Raises ValueError for units that are not two-valued, sizes below 1, and networks that there are not.
    """

    def __init__(
        self,
        n_visible: int,
        network: Mapping[str, Any] | None = None,
        fields: int = 1,
        unit: Unit | None = None,
        *,
        symmetric: bool = False,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.n_visible, self.fields, self.symmetric = n_visible, fields, symmetric
        self.unit: Unit = Spin() if unit is None else unit
        if min(n_visible, fields) < 1:
            raise ValueError(f"sizes must be 1 or more, got {n_visible} sites and {fields} fields of noise")
        if len(self.unit.values) != 2:
            raise ValueError(f"a GAN has two-valued units, got {self.unit.name}")
        place = default_device() if device is None else torch.device(device)
        stream = generator(0, "gan", "weights", device="cpu") if rng is None else rng
        self.architecture = {"kind": "mlp", "hidden": [128, 128]} if network is None else dict(network)
        self.network: nn.Module = site_network(self.architecture, n_visible, fields, 0, stream, place)

    @property
    def visible_unit(self) -> Unit:
        return self.unit

    @property
    def config(self) -> dict[str, Any]:
        return {
            "model": "gan",
            "n_visible": self.n_visible,
            "network": self.architecture,
            "fields": self.fields,
            "unit": unit_config(self.unit),
            "symmetric": self.symmetric,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> GAN:
        unit = build_unit(config["unit"])
        return cls(config["n_visible"], config["network"], config["fields"], unit, symmetric=config["symmetric"])

    def fakes(self, n: int, rng: torch.Generator) -> Tensor:
        """n draws as -1 and +1 through which a gradient passes; -> (n, n_visible).

        Straight through: the values are spins, the gradient that of tanh((eta + logistic noise) / 2), the spin relaxed
        (Bengio, Leonard and Courville 2013; Jang, Gu and Poole 2017). A critic thus sees nothing but spins.
        """
        z = torch.randn(n, self.fields, self.n_visible, generator=rng, device=rng.device)
        u = uniforms((n, self.n_visible), rng)
        eta = self.network(z, z.new_zeros(n, 0))
        soft = torch.tanh((eta + (u + _HALF_STEP).logit()) / 2)
        hard = torch.where(soft > 0, 1.0, -1.0).to(soft.dtype)
        spins = hard + (soft - soft.detach())
        if not self.symmetric:
            return spins
        return torch.where(uniforms((n, 1), rng) < 0.5, -spins, spins)

    @torch.no_grad()
    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """n configurations; -> (n, n_visible).

        Raises ValueError for n < 1, or where model and generator are on different devices.
        """
        self.check_draws(n, rng)
        lower, upper = self.unit.values
        x = self.fakes(n, rng)
        return torch.where(x > 0, upper, lower).to(x.dtype)
