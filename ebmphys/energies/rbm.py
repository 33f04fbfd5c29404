"""The restricted Boltzmann machine: a visible and a hidden layer of any units, with no bonds inside a layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.energies.base import EnergyModel
from ebmphys.rng import default_device
from ebmphys.units import Spin, Unit, build_unit, unit_config


class RBM(EnergyModel):
    """E(v, h) = -a.v - b.h - v.W h + sum of the units' own energies (Smolensky 1986, Hinton 2002).

    Spins, bits and Gaussian units on either side; Gaussian on both needs |W|^2 < 1/(sigma_v sigma_h)^2 to be
    normalisable. Without ``biases`` a and b stay zero, and a machine of spins (or Gaussian units) has the Z2 symmetry
    E(-v, -h) = E(v, h) exactly. A state is (v, h) in one vector, visible sites first. Weights start as
    N(0, scale^2 / n_visible) where a generator is given, at zero where not.
    Raises ValueError for layers without units.
    """

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        visible: Unit | None = None,
        hidden: Unit | None = None,
        *,
        biases: bool = True,
        rng: torch.Generator | None = None,
        scale: float = 0.1,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        if n_visible < 1 or n_hidden < 1:
            raise ValueError(f"an RBM needs visible and hidden units, got {n_visible} and {n_hidden}")
        place = default_device() if device is None else torch.device(device)
        self.n_visible, self.n_hidden, self.n_sites = n_visible, n_hidden, n_visible + n_hidden
        self.visible: Unit = Spin() if visible is None else visible
        self.hidden: Unit = Spin() if hidden is None else hidden
        weights = torch.zeros(n_visible, n_hidden, device=place)
        if rng is not None:
            noise = torch.randn(n_visible, n_hidden, generator=rng, device=rng.device)
            weights = noise.to(place) * (scale / n_visible**0.5)
        self.weights = nn.Parameter(weights)
        self.biases = biases
        self.visible_bias = nn.Parameter(torch.zeros(n_visible, device=place), requires_grad=biases)
        self.hidden_bias = nn.Parameter(torch.zeros(n_hidden, device=place), requires_grad=biases)

    @property
    def blocks(self) -> Mapping[str, slice]:
        return {"hidden": slice(self.n_visible, self.n_sites), "visible": slice(0, self.n_visible)}

    @property
    def units(self) -> Mapping[str, Unit]:
        return {"hidden": self.hidden, "visible": self.visible}

    @property
    def config(self) -> dict[str, Any]:
        return {
            "model": "rbm",
            "n_visible": self.n_visible,
            "n_hidden": self.n_hidden,
            "visible": unit_config(self.visible),
            "hidden": unit_config(self.hidden),
            "biases": self.biases,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RBM:
        units = (build_unit(config["visible"]), build_unit(config["hidden"]))
        return cls(config["n_visible"], config["n_hidden"], *units, biases=config["biases"])

    def energy(self, x: Tensor) -> Tensor:
        v, h = x[..., : self.n_visible], x[..., self.n_visible :]
        bonds = ((v @ self.weights) * h).sum(-1)
        own = self.visible.energy(v).sum(-1) + self.hidden.energy(h).sum(-1)
        return own - v @ self.visible_bias - h @ self.hidden_bias - bonds

    def conditional(self, x: Tensor, block: str) -> Tensor:
        if block == "hidden":
            v = x[..., : self.n_visible]
            return self.hidden.natural(v @ self.weights + self.hidden_bias)
        h = x[..., self.n_visible :]
        return self.visible.natural(h @ self.weights.T + self.visible_bias)

    def free_energy(self, v: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """F_beta(v) = E_v(v) - (1/beta) sum_j A_j(beta eta_j(v)), A the hidden unit's log partition function."""
        eta = self.hidden.natural(v @ self.weights + self.hidden_bias)
        heat = torch.as_tensor(beta, dtype=v.dtype, device=v.device)
        scaled = eta * heat.reshape(heat.shape + (1,) * (eta.ndim - v.ndim + 1))
        hidden = self.hidden.log_partition(scaled).sum(-1)
        return self.visible.energy(v).sum(-1) - v @ self.visible_bias - hidden / heat
