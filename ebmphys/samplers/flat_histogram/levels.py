"""An Ising model whose energies are whole numbers of a common unit, and the evenly spaced bins they fall into."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebmphys.energies import EnergyModel, Ising

Index = NDArray[np.int64]
Real = NDArray[np.float64]
Spins = NDArray[np.int8]

_LARGEST_DIVISOR = 64  # the unit is the smallest coupling divided by at most this
_MOST_BINS = 10_000_000
_ROUNDING = 4 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class IntegerIsing:
    """An Ising model in whole numbers: E = unit (lowest + spacing b), with bins b = 0 .. n_bins - 1.

    |E| <= sum |J| + sum |h| bounds the bins. A flip changes E by 2 (sum_j J_ij s_j + h_i): by multiples of 4 units
    where this sum is even at every site, as on the square lattice without field, else by multiples of 2. A bin that
    no configuration reaches does no harm. neighbours, strengths: (n_sites, max degree), a missing neighbour being
    site 0 with strength 0; fields: (n_sites,).
    """

    unit: float
    lowest: int
    spacing: int
    n_bins: int
    bonds: Index
    couplings: Index
    fields: Index
    neighbours: Index
    strengths: Index

    @staticmethod
    def of(model: EnergyModel) -> IntegerIsing:
        """The whole-number form of an Ising model, its unit found from the couplings and fields.

        Raises ValueError for other models, models not on the CPU, couplings or fields that are not whole numbers
        of a common unit (the smallest of them, or a fraction 1/2 to 1/64 of it), and more than 10^7 bins.
        """
        if not isinstance(model, Ising):
            raise ValueError(f"flat-histogram sampling needs an Ising model, got {type(model).__name__}")
        if model.device.type != "cpu":
            raise ValueError(f"flat-histogram sampling runs on the CPU, and the model is on {model.device.type}")
        values = np.concatenate([model.couplings.numpy(), model.fields.numpy()]).astype(np.float64)
        unit = _common_unit(values)
        whole = np.rint(values / unit).astype(np.int64)
        couplings, fields = np.split(whole, [model.graph.n_bonds])
        around, through = model.graph.neighbours, model.graph.neighbour_bonds
        strengths = np.where(around >= 0, couplings[through], 0) if len(couplings) else np.zeros_like(around)
        spacing = 2 if ((strengths.sum(1) + fields) % 2).any() else 4
        bound, aligned = int(np.abs(whole).sum()), -int(whole.sum())
        # The bins must contain the energy of the state with all spins up, and so every other.
        lowest = -bound + (aligned + bound) % spacing
        n_bins = (bound - lowest) // spacing + 1
        if n_bins > _MOST_BINS:
            raise ValueError(f"the energies would need {n_bins} bins, more than {_MOST_BINS}")
        around = np.ascontiguousarray(around.clip(min=0))
        return IntegerIsing(
            unit, lowest, spacing, n_bins, model.graph.bonds, couplings, fields, around, np.ascontiguousarray(strengths)
        )

    @property
    def n_sites(self) -> int:
        return len(self.fields)

    @property
    def energies(self) -> Real:
        """The energy of each bin; (n_bins,)."""
        return self.unit * (self.lowest + self.spacing * np.arange(self.n_bins, dtype=np.float64))

    def bins(self, spins: Spins) -> Index:
        """The bin of each configuration; (*batch, n_sites) -> (*batch,)."""
        wide = spins.astype(np.int64)
        energy = -(wide[..., self.bonds[:, 0]] * wide[..., self.bonds[:, 1]]) @ self.couplings - wide @ self.fields
        return np.asarray((energy - self.lowest) // self.spacing)


def _common_unit(values: Real) -> float:
    """The largest number of which all values are whole multiples, up to the rounding of float32."""
    sizes = np.abs(values[values != 0])
    if not len(sizes):
        raise ValueError("every coupling and field is zero: there is one energy level only")
    for divisor in range(1, _LARGEST_DIVISOR + 1):
        multiples = sizes * divisor / sizes.min()
        if (np.abs(multiples - np.rint(multiples)) <= _ROUNDING * multiples).all():
            return float(sizes.min() / divisor)
    raise ValueError(
        "flat-histogram sampling needs couplings and fields that are whole numbers of a common unit, such as J = +-1; "
        "these are not"
    )
