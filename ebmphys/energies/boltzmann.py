"""The Boltzmann machine: couplings to be learned on any graph, with or without hidden sites, free or tied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ebmphys.energies.base import EnergyModel
from ebmphys.energies.bond_tables import (
    bond_matrix,
    complete_graph,
    is_dense,
    neighbour_tables,
    numbered,
    separate_colours,
)
from ebmphys.energies.displacements import displacement_classes
from ebmphys.energies.summing import log_sum, states_of
from ebmphys.lattice import Graph, Index, Lattice, build_graph
from ebmphys.rng import default_device
from ebmphys.units import Spin, Unit, build_unit, mirrors, unit_config

MOST_SUMMED = 12  # hidden units that act on each other and are still summed out, state by state


class BoltzmannMachine(EnergyModel):
    """E(x) = -sum over bonds w_k x_i x_j - sum over sites b_i x_i, w and b learned (Ackley, Hinton and Sejnowski 1985).

    ``graph`` is a ``Graph``, or a number of sites with a bond for every pair; its last ``n_hidden`` sites are hidden.
    One weight a bond, in the order of ``graph.bonds`` (so the matrix of couplings is symmetric by construction), or
    one a class where ``classes`` gives each bond the number of its weight; ``site_classes`` does the same for
    biases. Spins unless told; ``unit`` may be any two-valued one. Without ``biases`` b stays zero and spins
    have E(-x) = E(x). Weights start as N(0, scale^2 / mean degree) where a generator is given, at zero where not.
    Raises ValueError for units that are not two-valued, for no visible site, and for classes that do not number
    every bond from 0 without a gap.
    """

    _bonds: Tensor
    _fields: Tensor
    _left: Tensor
    _right: Tensor
    _matrix: Tensor

    def __init__(
        self,
        graph: Graph | int,
        n_hidden: int = 0,
        unit: Unit | None = None,
        classes: Sequence[int] | Index | None = None,
        *,
        site_classes: Sequence[int] | Index | None = None,
        biases: bool = True,
        rng: torch.Generator | None = None,
        scale: float = 0.1,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.graph = complete_graph(graph) if isinstance(graph, int) else graph
        self.n_sites, self.n_visible = self.graph.n_sites, self.graph.n_sites - n_hidden
        self.unit: Unit = Spin() if unit is None else unit
        self.biases = biases
        if len(self.unit.values) != 2:
            raise ValueError(f"a Boltzmann machine is made of two-valued units, got {self.unit.name}")
        if not 0 <= n_hidden < self.n_sites:
            raise ValueError(f"of {self.n_sites} sites some must be visible, got n_hidden = {n_hidden}")
        bonds = numbered(classes, self.graph.n_bonds, "bond")
        sites = numbered(site_classes, self.n_sites, "site")
        self._config = {
            "model": "boltzmann",
            "graph": graph if isinstance(graph, int) else graph.config,
            "n_hidden": n_hidden,
            "unit": unit_config(self.unit),
            "classes": None if classes is None else bonds.tolist(),
            "site_classes": None if site_classes is None else sites.tolist(),
            "biases": biases,
        }
        place = default_device() if device is None else torch.device(device)
        weights = torch.zeros(int(bonds.max(initial=-1)) + 1, device=place)
        if rng is not None:
            degree = max(1.0, 2 * self.graph.n_bonds / self.n_sites)
            weights = (torch.randn(len(weights), generator=rng, device=rng.device) * (scale / degree**0.5)).to(place)
        self.weights = nn.Parameter(weights)
        self.bias = nn.Parameter(torch.zeros(int(sites.max()) + 1, device=place), requires_grad=biases)
        self._lay_out(bonds, sites, place)

    def _lay_out(self, bonds: Index, sites: Index, place: torch.device) -> None:
        """Index tables of energies and conditionals; weight k is entry k + 1 of them, and entry 0 is no bond."""
        graph, colours = self.graph, separate_colours(self.graph, self.n_visible)
        self._dense = is_dense(graph)
        self._numbers = {name: k for k, name in enumerate(colours)}
        self._units: dict[str, Unit] = dict.fromkeys(colours, self.unit)
        tables = {"bonds": bonds, "left": graph.bonds[:, 0], "right": graph.bonds[:, 1], "fields": sites}
        if self._dense:
            tables["matrix"] = bond_matrix(graph, bonds)
        for k, colour in enumerate(colours.values()):
            tables |= {f"sites{k}": colour, f"fields{k}": sites[colour]}
            if self._dense:
                tables[f"through{k}"] = tables["matrix"][colour]
            else:
                tables[f"around{k}"], tables[f"through{k}"] = neighbour_tables(graph, bonds, colour)
        for name, table in tables.items():
            tensor = torch.from_numpy(np.ascontiguousarray(table)).to(place)
            self.register_buffer(f"_{name}", tensor, persistent=False)

    @classmethod
    def translation_invariant(
        cls,
        lattice: Lattice,
        reach: float | None = None,
        unit: Unit | None = None,
        *,
        point_group: bool = False,
        biases: bool = True,
        rng: torch.Generator | None = None,
        scale: float = 0.1,
        device: torch.device | str | None = None,
    ) -> BoltzmannMachine:
        """One coupling for each displacement up to ``reach`` (None: every pair), one field for each site of the cell.

        Its law is invariant under every translation of the periodic lattice, with ``point_group`` under rotations and
        reflections too, and it holds the Ising model on that lattice exactly: the first weights are those of nearest
        neighbours. Raises ValueError where ``displacement_classes`` does.
        """
        pairs, classes, site_classes = displacement_classes(lattice, reach, point_group)
        graph = Graph(lattice.n_sites, pairs)
        machine = cls(
            graph, 0, unit, classes, site_classes=site_classes, biases=biases, rng=rng, scale=scale, device=device
        )
        machine._config = {
            "model": "boltzmann",
            "lattice": lattice.config,
            "reach": reach,
            "point_group": point_group,
            "unit": unit_config(machine.unit),
            "biases": biases,
        }
        return machine

    @property
    def blocks(self) -> Mapping[str, Tensor]:
        """Greedy colour classes, hidden ones first; each site of a complete graph is its own."""
        return {name: getattr(self, f"_sites{k}") for name, k in self._numbers.items()}

    @property
    def units(self) -> Mapping[str, Unit]:
        return self._units

    @property
    def config(self) -> dict[str, Any]:
        return dict(self._config)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> BoltzmannMachine:
        unit, biases = build_unit(config["unit"]), config["biases"]
        if "lattice" in config:
            options = {"point_group": config["point_group"], "biases": biases}
            return cls.translation_invariant(Lattice(**config["lattice"]), config["reach"], unit, **options)
        graph = config["graph"] if isinstance(config["graph"], int) else build_graph(config["graph"])
        ties = (config["classes"], config["site_classes"])
        return cls(graph, config["n_hidden"], unit, ties[0], site_classes=ties[1], biases=biases)

    def couplings(self) -> Tensor:
        """The weight of each bond in the order of ``graph.bonds``; -> (n_bonds,)."""
        return self.weights[self._bonds]

    def coupling_matrix(self) -> Tensor:
        """J_ij = J_ji, zero where no bond is, doubled bonds added up; -> (n_sites, n_sites)."""
        j = self.weights.new_zeros(self.n_sites, self.n_sites)
        j = j.index_put((self._left, self._right), self.couplings(), accumulate=True)
        return j + j.T

    def fields(self) -> Tensor:
        """The bias of each site; -> (n_sites,)."""
        return self.bias[self._fields]

    @property
    def ties(self) -> tuple[Tensor, Tensor]:
        """The number of each bond's weight and of each site's bias; -> (n_bonds,), (n_sites,)."""
        return self._bonds, self._fields

    def energy(self, x: Tensor) -> Tensor:
        if self._dense:
            bonds = 0.5 * ((x @ self._padded()[self._matrix]) * x).sum(-1)
        else:
            bonds = (x.index_select(-1, self._left) * x.index_select(-1, self._right)) @ self.couplings()
        return -bonds - x @ self.fields()

    def conditional(self, x: Tensor, block: str) -> Tensor:
        return self.unit.natural(self._field(x, self._numbers[block]))

    def _padded(self) -> Tensor:
        return torch.cat([self.weights.new_zeros(1), self.weights])

    def _field(self, x: Tensor, number: int) -> Tensor:
        own, weights = self.bias[getattr(self, f"_fields{number}")], self._padded()[getattr(self, f"_through{number}")]
        if self._dense:
            return x @ weights.T + own
        field = own.expand(*x.shape[:-1], -1).clone()
        for neighbour, weight in zip(getattr(self, f"_around{number}"), weights, strict=True):
            field.addcmul_(weight, x.index_select(-1, neighbour))
        return field

    @property
    def sums_out_hidden(self) -> bool:
        return len(self.hidden_blocks) <= 1

    @property
    def even(self) -> bool:
        return not self.biases and mirrors(self.unit)

    def free_energy(self, v: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """F_beta(v) = E(v, 0) - (1/beta) log sum_h exp(-beta (E(v, h) - E(v, 0))).

        A closed form where no bond joins hidden sites, else a sum over every hidden state. Raises ValueError where
        more than 12 hidden sites act on each other.
        """
        if not self.hidden_blocks:
            return self.energy(v)
        if not self.sums_out_hidden and self.n_sites - self.n_visible > MOST_SUMMED:
            raise ValueError(
                f"{self.n_sites - self.n_visible} hidden units act on each other: their states are summed for up to "
                f"{MOST_SUMMED}; use the joint energy and a clamped sampler"
            )
        empty = torch.cat([v, v.new_zeros(*v.shape[:-1], self.n_sites - self.n_visible)], -1)
        field = empty.new_zeros(*v.shape[:-1], self.n_sites)
        for name in self.hidden_blocks:
            field = field.index_copy(-1, self.blocks[name], self._field(empty, self._numbers[name]))
        hidden = field[..., self.n_visible :]
        heat = torch.as_tensor(beta, dtype=v.dtype, device=v.device)
        if len(self.hidden_blocks) == 1:
            log_z = self.unit.log_partition(self.unit.natural(hidden) * heat[..., None]).sum(-1)
        else:
            log_z = self._sum_states(hidden - self.fields()[self.n_visible :], heat)
        return self.energy(empty) - log_z / heat

    def _sum_states(self, field: Tensor, heat: Tensor) -> Tensor:
        """log sum_h exp(beta (h . field - E(0, h))) in the fields of the visible sites alone."""
        h = states_of(self.unit, field.shape[-1], field)
        own = self.energy(torch.cat([h.new_zeros(len(h), self.n_visible), h], -1))
        return log_sum(lambda f, b: b * (f @ h.T - own), field, heat, len(h))
