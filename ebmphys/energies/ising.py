"""The Ising model on any graph: E(s) = -sum over bonds J_ij s_i s_j - sum over sites h_i s_i."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from ebmphys.energies.base import EnergyModel
from ebmphys.lattice import Graph, Lattice, build_graph
from ebmphys.rng import default_device
from ebmphys.units import Spin, Unit


class Ising(EnergyModel):
    """Ising spins s = +-1 with couplings J (positive: ferromagnetic) and fields h.

    coupling: one number, or one a bond in the order of ``graph.bonds``; field: one number, or one a site.
    Energies are exact to the last bit of float32 for integer couplings while |E| < 2^24.
    Raises ValueError for couplings or fields of the wrong number or that are not finite.
    """

    couplings: Tensor
    fields: Tensor
    _bonds: Tensor

    def __init__(
        self,
        graph: Graph,
        coupling: float | Tensor = 1.0,
        field: float | Tensor = 0.0,
        *,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.graph = graph
        self.n_sites = self.n_visible = graph.n_sites
        place = default_device() if device is None else torch.device(device)
        self.register_buffer("couplings", _one_each(coupling, graph.n_bonds, "coupling", "bond").to(place))
        self.register_buffer("fields", _one_each(field, graph.n_sites, "field", "site").to(place))
        self.register_buffer("_bonds", torch.from_numpy(graph.bonds).to(place), persistent=False)
        for number, sites in enumerate(graph.colours):
            # Neighbour by neighbour, (max degree, block size), so that each gather is one contiguous index.
            around, through = graph.neighbours[sites].T, graph.neighbour_bonds[sites].T
            # A missing neighbour (an open edge) points at site 0 with coupling 0: one gather serves every graph.
            strength = np.where(around >= 0, self.couplings.cpu().numpy()[through], 0) if graph.n_bonds else around
            parts = {"sites": sites, "around": around.clip(min=0), "strength": strength.astype(np.float32)}
            for name, array in parts.items():
                tensor = torch.from_numpy(np.ascontiguousarray(array)).to(place)
                self.register_buffer(f"_{name}{number}", tensor, persistent=False)

    @property
    def blocks(self) -> Mapping[str, Tensor]:
        """The graph's colour classes: the two sublattices, where it is bipartite."""
        return {str(k): getattr(self, f"_sites{k}") for k in range(len(self.graph.colours))}

    @property
    def units(self) -> Mapping[str, Unit]:
        return {str(k): Spin() for k in range(len(self.graph.colours))}

    @property
    def config(self) -> dict[str, Any]:
        return {
            "model": "ising",
            "graph": self.graph.config,
            "coupling": _shortest(self.couplings),
            "field": _shortest(self.fields),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Ising:
        return cls(
            build_graph(config["graph"]),
            *(torch.tensor(v) if isinstance(v, list) else v for v in (config["coupling"], config["field"])),
        )

    @property
    def even(self) -> bool:
        return not bool(self.fields.any())

    def energy(self, x: Tensor) -> Tensor:
        left, right = self._bonds.unbind(-1)
        satisfied = x.index_select(-1, left) * x.index_select(-1, right)
        return -(satisfied @ self.couplings) - x @ self.fields

    def conditional(self, x: Tensor, block: str) -> Tensor:
        sites, around, strength = (getattr(self, f"_{part}{block}") for part in ("sites", "around", "strength"))
        field = self.fields[sites].expand(*x.shape[:-1], -1).clone()
        for neighbour, coupling in zip(around, strength, strict=True):
            field.addcmul_(coupling, x.index_select(-1, neighbour))
        return Spin().natural(field)

    def free_energy(self, v: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        return self.energy(v)


def satisfying_spins(model: Ising) -> Tensor | None:
    """Spins that satisfy every bond, J_ij s_i s_j >= 0: the ground state up to a sign a component, without fields.

    All up for a ferromagnet, the two sublattices of an antiferromagnet that has them; None where the couplings are
    frustrated (Toulouse 1977). (n_sites,).
    """
    bonds, couplings, n = model.graph.bonds, model.couplings.cpu().numpy(), model.n_sites
    # Two copies of each site, one a sign: J > 0 joins copies of one sign, J < 0 of opposite ones. A site that is
    # joined to its own other copy would have to be both.
    here, there = bonds[couplings != 0].T
    across = np.where(couplings[couplings != 0] < 0, n, 0)
    rows, columns = np.concatenate([here, here + n]), np.concatenate([there + across, there + n - across])
    joined = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(2 * n, 2 * n))
    _, labels = connected_components(joined, directed=False)
    up, down = labels[:n], labels[n:]
    if (up == down).any():
        return None
    return torch.from_numpy(np.where(up < down, 1.0, -1.0)).float().to(model.device)


def plus_minus_couplings(graph: Graph, rng: torch.Generator, probability: float = 0.5) -> Tensor:
    """Random couplings of the +-J model, J = +1 with the given probability and -1 otherwise; (n_bonds,)."""
    if not 0 <= probability <= 1:
        raise ValueError(f"probability of J = +1 must be between 0 and 1, got {probability}")
    return (torch.rand(graph.n_bonds, generator=rng, device=rng.device) < probability).float() * 2 - 1


def gaussian_couplings(graph: Graph, rng: torch.Generator, mean: float = 0.0, sigma: float = 1.0) -> Tensor:
    """Gaussian couplings of the Edwards-Anderson model (1975), N(mean, sigma^2) a bond; (n_bonds,)."""
    return torch.randn(graph.n_bonds, generator=rng, device=rng.device) * sigma + mean


def ferromagnet(shape: tuple[int, ...], **options: Any) -> Ising:
    """The Ising ferromagnet with J = 1 and no field on a periodic lattice of this shape."""
    return Ising(Lattice(shape), **options)


def _one_each(value: float | Tensor, count: int, what: str, of: str) -> Tensor:
    values = torch.as_tensor(value, dtype=torch.float32)
    if values.ndim > 0 and values.shape != (count,):
        raise ValueError(f"{what} must be one number or one a {of} ({count}), got shape {tuple(values.shape)}")
    if not bool(values.isfinite().all()):
        raise ValueError(f"{what} must be finite")
    return values.expand(count).clone()


def _shortest(values: Tensor) -> float | list[float]:
    """One number where all are equal, else the list."""
    if values.numel() == 0:
        return 0.0
    first = values[0].item()
    return first if math.isfinite(first) and bool((values == first).all()) else values.tolist()
