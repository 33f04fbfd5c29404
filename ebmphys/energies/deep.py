"""The deep Boltzmann machine: layers in a row, each joined with the next and none with itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.energies.base import EnergyModel
from ebmphys.energies.summing import log_sum, states_of
from ebmphys.energies.two_layers import flat_statistics
from ebmphys.rng import default_device
from ebmphys.units import Spin, Unit, build_unit, mirrors, unit_config

MOST_SUMMED = 16  # units of the even hidden layers whose states free_energy sums


class DeepBoltzmannMachine(EnergyModel):
    """E(x) = -sum_l s_l.W_l s_(l+1) - sum_l b_l.s_l + sum of the units' own energies (Salakhutdinov and Hinton 2009).

    Layer 0 is visible, ``layers`` are the sizes of the hidden ones; s_l are the units' statistics (x itself, or the
    indicators of Potts states). ``units`` is one unit for all layers or one a layer, visible first; spins unless told.
    A state is all layers in one vector, visible sites first; a sweep updates odd layers, then even ones. Without
    ``biases`` b stays zero, and a machine of spins has E(-x) = E(x). Weights start as N(0, scale^2 / size of the layer
    below) where a generator is given, at zero where not.
    Raises ValueError for layers without sites, and for a number of units that is not that of the layers.
    """

    def __init__(
        self,
        n_visible: int,
        layers: Sequence[int],
        units: Unit | Sequence[Unit] | None = None,
        *,
        biases: bool = True,
        rng: torch.Generator | None = None,
        scale: float = 0.1,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.sizes = (n_visible, *layers)
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise ValueError(f"a deep machine needs layers of 1 or more sites, got {n_visible} visible and {layers}")
        one = Spin() if units is None else units
        self.layer_units: tuple[Unit, ...] = tuple(one) if isinstance(one, Sequence) else (one,) * len(self.sizes)
        if len(self.layer_units) != len(self.sizes):
            raise ValueError(f"units must be one, or one a layer ({len(self.sizes)}), got {len(self.layer_units)}")
        self.n_visible, self.n_sites, self.biases = n_visible, sum(self.sizes), biases
        place = default_device() if device is None else torch.device(device)
        widths = [size * unit.n_statistics for size, unit in zip(self.sizes, self.layer_units, strict=True)]
        self.weights = nn.ParameterList()
        for below, above in pairwise(widths):
            w = torch.zeros(below, above, device=place)
            if rng is not None:
                w = torch.randn(below, above, generator=rng, device=rng.device).to(place) * (scale / below**0.5)
            self.weights.append(nn.Parameter(w))
        zeros = (torch.zeros(width, device=place) for width in widths)
        self.bias = nn.ParameterList([nn.Parameter(zero, requires_grad=biases) for zero in zeros])
        ends = list(accumulate(self.sizes, initial=0))
        self._slices = [slice(start, end) for start, end in pairwise(ends)]
        order = [*range(1, len(self.sizes), 2), *range(0, len(self.sizes), 2)]
        self._layer_of = {f"hidden {k}" if k else "visible": k for k in order}

    @property
    def blocks(self) -> Mapping[str, slice]:
        """One a layer: "hidden 1", "hidden 3", ..., then "visible", "hidden 2", ..."""
        return {name: self._slices[k] for name, k in self._layer_of.items()}

    @property
    def units(self) -> Mapping[str, Unit]:
        return {name: self.layer_units[k] for name, k in self._layer_of.items()}

    @property
    def config(self) -> dict[str, Any]:
        return {
            "model": "dbm",
            "n_visible": self.n_visible,
            "layers": list(self.sizes[1:]),
            "units": [unit_config(unit) for unit in self.layer_units],
            "biases": self.biases,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DeepBoltzmannMachine:
        units = [build_unit(unit) for unit in config["units"]]
        return cls(config["n_visible"], config["layers"], units, biases=config["biases"])

    def energy(self, x: Tensor) -> Tensor:
        total = x.new_zeros(x.shape[:-1])
        below: Tensor | None = None
        for k, (sites, unit) in enumerate(zip(self._slices, self.layer_units, strict=True)):
            layer = x[..., sites]
            s = flat_statistics(unit, layer)
            field = self.bias[k] if below is None else below @ self.weights[k - 1] + self.bias[k]
            total = total + unit.energy(layer).sum(-1) - (field * s).sum(-1)
            below = s
        return total

    def conditional(self, x: Tensor, block: str) -> Tensor:
        k = self._layer_of[block]
        field = self.bias[k].expand(*x.shape[:-1], -1)
        if k > 0:
            field = field + self._statistics(x, k - 1) @ self.weights[k - 1]
        if k + 1 < len(self.sizes):
            field = field + self._statistics(x, k + 1) @ self.weights[k].T
        return self._natural(k, field)

    def _statistics(self, x: Tensor, layer: int) -> Tensor:
        return flat_statistics(self.layer_units[layer], x[..., self._slices[layer]])

    def _natural(self, layer: int, field: Tensor) -> Tensor:
        unit = self.layer_units[layer]
        return unit.natural(field if unit.n_statistics == 1 else field.unflatten(-1, (-1, unit.n_statistics)))

    @property
    def sums_out_hidden(self) -> bool:
        return len(self.sizes) == 2

    @property
    def even(self) -> bool:
        return not self.biases and all(mirrors(unit) for unit in self.layer_units)

    def _summed_units(self) -> int:
        return sum(self.sizes[2::2])

    def free_energy(self, v: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """F_beta(v): odd layers in closed form, the states of layers 2, 4, ... one by one.

        Raises ValueError where those have more than 16 units, or units that are not two-valued.
        """
        summed = [(self.sizes[k], self.layer_units[k]) for k in range(2, len(self.sizes), 2)]
        if self._summed_units() > MOST_SUMMED or any(len(unit.values) != 2 for _, unit in summed):
            raise ValueError(
                f"layers 2, 4, ... are summed state by state, for up to {MOST_SUMMED} two-valued units, and here they "
                f"have {self._summed_units()}; use the joint energy and a clamped sampler"
            )
        states = self._even_states(v)
        from_states = [
            sum((s @ w for s, w in self._joined(states, k)), self.bias[k]) for k in range(1, len(self.sizes), 2)
        ]
        alone = sum((flat @ self.bias[k] for k, flat in states.items()), v.new_zeros(()))
        own = sum((self.layer_units[k].energy(s).sum(-1) for k, s in states.items()), v.new_zeros(()))

        def terms(field: Tensor, heat: Tensor) -> Tensor:
            total = heat * (alone - own)
            for number, other in enumerate(from_states):
                k = 2 * number + 1
                eta = self._natural(k, field[:, None] + other if k == 1 else other.expand(len(field), *other.shape))
                scaled = eta * heat.reshape(-1, *(1,) * (eta.ndim - 1))
                total = total + self.layer_units[k].log_partition(scaled).sum(-1)
            return total

        s = flat_statistics(self.layer_units[0], v)
        width = 2 ** self._summed_units() * sum(self.sizes[1::2])
        log_z = log_sum(terms, s @ self.weights[0], beta, width)
        heat = torch.as_tensor(beta, dtype=v.dtype, device=v.device)
        return self.layer_units[0].energy(v).sum(-1) - s @ self.bias[0] - log_z / heat

    def _even_states(self, like: Tensor) -> dict[int, Tensor]:
        """All joint states of layers 2, 4, ...; layer -> (number of states, size)."""
        indices = torch.arange(2 ** self._summed_units(), device=like.device)
        found: dict[int, Tensor] = {}
        for k in reversed(range(2, len(self.sizes), 2)):
            states = states_of(self.layer_units[k], self.sizes[k], like)
            found[k] = states[indices % len(states)]
            indices = indices // len(states)
        return found

    def _joined(self, states: dict[int, Tensor], layer: int) -> list[tuple[Tensor, Tensor]]:
        """The summed layers beside an odd one, each with the weights between; the visible one is not among them."""
        beside = [(layer - 1, self.weights[layer - 1])]
        if layer + 1 < len(self.sizes):
            beside.append((layer + 1, self.weights[layer].T))
        return [(states[k], w) for k, w in beside if k in states]

    def hidden_machine(self) -> DeepBoltzmannMachine:
        """A copy of the hidden layers alone, in which the first of them is visible; needs two hidden layers."""
        machine = DeepBoltzmannMachine(
            self.sizes[1], self.sizes[2:], self.layer_units[1:], biases=self.biases, device=self.device
        ).to(self.weights[0].dtype)
        with torch.no_grad():
            for mine, theirs in zip((*self.weights[1:], *self.bias[1:]), machine.parameters(), strict=True):
                theirs.copy_(mine)
        return machine
