"""The settings that name an Ising Hamiltonian, shared by the verbs that need one."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, field_validator, model_validator

from ebmphys.energies import Ising, gaussian_couplings, plus_minus_couplings, satisfying_spins
from ebmphys.exact import critical_temperature
from ebmphys.experiment.settings import Settings, Size, parse_size
from ebmphys.lattice import Lattice
from ebmphys.rng import generator

RANDOM = ("+-J", "gaussian")
Geometry = Literal["hypercubic", "chain", "square", "cubic", "triangular", "honeycomb"]


class Hamiltonian(Settings):
    """E = -sum over bonds J s s' - h sum s on a lattice."""

    size: Size
    """Sides of the lattice, joined by x: 32x32, 64, 8x8x8."""
    geometry: Geometry = "hypercubic"
    """Hypercubic in as many dimensions as the size has sides, triangular, or honeycomb (cells of two sites)."""
    boundary: Literal["periodic", "open"] = "periodic"
    """Whether bonds go round the edges."""
    coupling: str = "1"
    """J: a number, or "+-J" or "gaussian" for couplings drawn from the seed, one a bond."""
    field: float = Field(default=0.0, allow_inf_nan=False)
    """h, the same on every site."""
    seed: int = Field(default=1, ge=0)
    """Makes a run reproducible bit for bit on one device."""

    @field_validator("coupling", mode="before")
    @classmethod
    def _coupling(cls, given: object) -> str:
        text = str(given)
        if text in RANDOM:
            return text
        try:
            finite = torch.tensor(float(text)).isfinite().item()
        except ValueError:
            finite = False
        if not finite:
            raise ValueError(f'a coupling is a number, "+-J" or "gaussian", got {text!r}')
        return text

    @model_validator(mode="after")
    def _fits(self) -> Hamiltonian:
        self.lattice()
        return self

    def lattice(self) -> Lattice:
        """The lattice. Raises ValueError where the size has the wrong number of sides for it."""
        return Lattice(parse_size(self.size), self.geometry, self.boundary == "periodic")

    def ising(self, device: torch.device) -> Ising:
        """The model; random couplings come from a stream of their own, the same on every device."""
        lattice, rng = self.lattice(), generator(self.seed, "couplings", device="cpu")
        if self.coupling == "+-J":
            return Ising(lattice, plus_minus_couplings(lattice, rng), self.field, device=device)
        if self.coupling == "gaussian":
            return Ising(lattice, gaussian_couplings(lattice, rng), self.field, device=device)
        return Ising(lattice, float(self.coupling), self.field, device=device)


def ordering_temperature(model: Ising) -> float:
    """T_c where couplings of one size |J| are not frustrated, on a lattice where it is known; 0 elsewhere.

    An antiferromagnet with sublattices orders where the ferromagnet does: turning every other spin over maps it there.
    """
    graph, couplings = model.graph, model.couplings.abs()
    uniform = graph.n_bonds > 0 and bool((couplings == couplings[0]).all()) and not bool(model.fields.any())
    if not uniform or not isinstance(graph, Lattice) or satisfying_spins(model) is None:
        return 0.0
    name = {2: "square", 3: "cubic"}.get(graph.dimension) if graph.geometry == "hypercubic" else graph.geometry
    return float(couplings[0]) * critical_temperature(name) if name else 0.0
