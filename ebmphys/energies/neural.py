"""Any network as an energy."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from ebmphys.energies.base import EnergyModel
from ebmphys.energies.networks import build_network
from ebmphys.rng import default_device, generator
from ebmphys.units import Gaussian, Spin, Unit, build_unit, mirrors, unit_config


class NeuralEnergy(EnergyModel):
    """E(x) = network(x) + sum of the units' own energies, on visible sites alone (LeCun et al. 2006).

    ``network`` is plain data (``build_network``): an MLP, or convolutions on a periodic lattice, whose energy has the
    lattice's translations. With ``symmetric`` E(x) = (network(x) + network(-x)) / 2, so E(-x) = E(x) exactly (for bits
    1 - x). Two-valued units, or Gaussian ones, whose x^2 / (2 sigma^2) outgrows any such network: the law is
    normalisable. Each site is a block of its own, and a heat bath costs 2 n networks a sweep: ``GibbsWithGradients``
    costs one a flip. Weights are drawn from ``rng``, or from a stream of their own where none is given.
    Raises ValueError for other units, and where ``build_network`` does.
    """

    def __init__(
        self,
        n_visible: int,
        network: Mapping[str, Any],
        unit: Unit | None = None,
        *,
        symmetric: bool = False,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.n_visible = self.n_sites = n_visible
        self.unit: Unit = Spin() if unit is None else unit
        self.symmetric = symmetric
        if len(self.unit.values) != 2 and not isinstance(self.unit, Gaussian):
            raise ValueError(f"a neural energy takes two-valued or Gaussian units, got {self.unit.name}")
        place = default_device() if device is None else torch.device(device)
        stream = generator(0, "neural", "weights", device="cpu") if rng is None else rng
        self._network_config = deepcopy(dict(network))
        self.network = build_network(network, n_visible, stream, place)
        self._blocks = {str(site): slice(site, site + 1) for site in range(n_visible)}
        self._units = dict.fromkeys(self._blocks, self.unit)

    @property
    def blocks(self) -> Mapping[str, slice]:
        return self._blocks

    @property
    def units(self) -> Mapping[str, Unit]:
        return self._units

    @property
    def config(self) -> dict[str, Any]:
        return {
            "model": "neural",
            "n_visible": self.n_visible,
            "network": deepcopy(self._network_config),
            "unit": unit_config(self.unit),
            "symmetric": self.symmetric,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> NeuralEnergy:
        unit = build_unit(config["unit"])
        return cls(config["n_visible"], config["network"], unit, symmetric=config["symmetric"])

    @property
    def even(self) -> bool:
        return self.symmetric and mirrors(self.unit)

    def energy(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, self.n_sites)
        if self.symmetric:
            # One call for both: at the sizes of lattices the calls cost more than the numbers.
            both = self.network(torch.cat([rows, sum(self.unit.values) - rows])).squeeze(-1)
            output = (both[: len(rows)] + both[len(rows) :]) / 2
        else:
            output = self.network(rows).squeeze(-1)
        return output.reshape(x.shape[:-1]) + self.unit.energy(x).sum(-1)

    def conditional(self, x: Tensor, block: str) -> Tensor:
        """The log-odds of a site's upper value, E(x with the lower one) - E(x with the upper one).

        Raises ValueError for Gaussian units, whose conditionals are of no known family.
        """
        self._check_two_valued()
        lower, upper = (x.clone() for _ in range(2))
        lower[..., self._blocks[block]], upper[..., self._blocks[block]] = self.unit.values
        energies = self.energy(torch.stack([lower, upper]))
        return (energies[0] - energies[1])[..., None]

    def energy_differences(self, x: Tensor) -> Tensor:
        """E(x with site i flipped) - E(x), for every site in one call; (*batch, n_sites) -> (*batch, n_sites).

        Raises ValueError for Gaussian units.
        """
        self._check_two_valued()
        every = torch.eye(self.n_sites, dtype=torch.bool, device=x.device)
        flipped = torch.where(every, sum(self.unit.values) - x[..., None, :], x[..., None, :])
        return self.energy(flipped) - self.energy(x)[..., None]

    def free_energy(self, v: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        return self.energy(v)

    def _check_two_valued(self) -> None:
        if len(self.unit.values) != 2:
            raise ValueError(
                "the law of one Gaussian site in a neural energy is of no known family: use HMC or Langevin"
            )
