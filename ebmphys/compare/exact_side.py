"""What is known exactly about the reference's Hamiltonian."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ebmphys.compare.definitions import OBSERVABLES
from ebmphys.compare.ensemble import Ensemble
from ebmphys.compare.files import build_hamiltonian
from ebmphys.energies import EnergyModel, Ising
from ebmphys.exact import Strip, critical_temperature, exact_source, exact_values, joint_law, kaufman
from ebmphys.lattice import Lattice

_POINTS = 81
_COUNTED_SITES = 64


@dataclass(frozen=True)
class ExactSide:
    """Exact values, curves and the critical temperature of a Hamiltonian (None: nothing is known)."""

    model: EnergyModel | None

    @classmethod
    def of(cls, ensemble: Ensemble) -> ExactSide:
        """The exact side of an ensemble, from the config of its Hamiltonian."""
        return cls(build_hamiltonian(ensemble.model))

    @property
    def source(self) -> str:
        """Where exact values come from, empty where there are none."""
        return "" if self.model is None else exact_source(self.model)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The shape of the lattice, where configurations fill it site by site."""
        graph = self._lattice
        return graph.shape if graph is not None and graph.n_cells == graph.n_sites else None

    @property
    def critical_temperature(self) -> float | None:
        """Of the infinite lattice, where it is known."""
        graph = self._lattice
        if graph is None or not self._uniform or self._coupling <= 0:
            return None
        names = {("hypercubic", 2): "square", ("hypercubic", 3): "cubic"}
        name = names.get((graph.geometry, graph.dimension), graph.geometry)
        return None if name == "hypercubic" else critical_temperature(name, self._coupling)

    def summary(self, temperatures: Sequence[float]) -> dict[str, Any]:
        """What a table says of it: the source, the critical temperature and the curves."""
        return {
            "source": self.source,
            "critical_temperature": self.critical_temperature,
            "curves": self.curves(temperatures),
        }

    def values(self, beta: float) -> dict[str, float]:
        """Exact averages by name, with what symmetry and definition add to ``exact_values``."""
        if not isinstance(self.model, Ising):
            return {}
        known = exact_values(self.model, beta)
        if not bool(self.model.fields.any()):
            known["magnetization"] = 0.0
        if self._uniform and self._coupling and "energy_per_site" in known:
            bonds = self._coupling * self.model.graph.n_bonds
            known["domain_walls"] = (1 + known["energy_per_site"] * self.model.n_sites / bonds) / 2
        return known

    def curves(self, temperatures: Sequence[float]) -> dict[str, dict[str, list[float]]]:
        """Dense exact curves between the first and the last temperature: name -> {temperature, value}.

        All averages of a uniform lattice of up to 64 sites, from its density of states (8 x 8: some seconds, once);
        energy and specific heat of a larger torus.
        """
        graph = self._lattice
        if len(temperatures) < 2 or graph is None or not self._uniform or graph.dimension > 2:
            return {}
        if graph.geometry != "hypercubic":
            return {}
        dense = np.linspace(min(temperatures), max(temperatures), _POINTS).tolist()
        averages = self._all_averages(graph) or self._solved(graph)
        points = [averages(1 / t) for t in dense] if averages else [{}]
        return {name: {"temperature": dense, "value": [p[name] for p in points]} for name in points[0]}

    def _all_averages(self, graph: Lattice) -> Callable[[float], dict[str, float]] | None:
        if graph.n_sites > _COUNTED_SITES or self._coupling != round(self._coupling) or graph.n_bonds == 0:
            return None
        law = joint_law(Strip.of_lattice(graph, self._coupling))

        def averages(beta: float) -> dict[str, float]:
            found = law.averages(beta)
            return {name: found[name] for name in found if name in OBSERVABLES}

        return averages

    def _solved(self, graph: Lattice) -> Callable[[float], dict[str, float]] | None:
        if not self.source or graph.dimension != 2 or not all(graph.periodic) or min(graph.shape) < 2:
            return None

        def averages(beta: float) -> dict[str, float]:
            solved = kaufman((graph.shape[0], graph.shape[1]), beta, self._coupling)
            return {"energy_per_site": solved.energy_per_site, "specific_heat": solved.specific_heat}

        return averages

    @property
    def _lattice(self) -> Lattice | None:
        graph: Any = getattr(self.model, "graph", None)
        return graph if isinstance(graph, Lattice) else None

    @property
    def _uniform(self) -> bool:
        if not isinstance(self.model, Ising) or self.model.couplings.numel() == 0:
            return False
        return bool((self.model.couplings == self.model.couplings[0]).all()) and not bool(self.model.fields.any())

    @property
    def _coupling(self) -> float:
        assert isinstance(self.model, Ising)
        return float(self.model.couplings[0])
