"""A network that sees, of the sites drawn before, only those that the undrawn ones still feel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from ebmphys.energies.networks import started
from ebmphys.generators.autoregressive.base import Autoregressive
from ebmphys.generators.autoregressive.masked import MaskedLinear
from ebmphys.lattice import Graph, Index, Lattice, build_graph
from ebmphys.rng import default_device, generator
from ebmphys.units import Unit, build_unit, unit_config


class FrontierNetwork(Autoregressive):
    """One small network for all sites of a lattice, drawn in raster order, that reads the frontier of the drawn ones.

    Where only neighbours interact, drawn sites act on the others through those that have an undrawn neighbour: about
    one layer of the lattice, and the first layer where it is periodic. The conditionals of such a law are functions of
    these few spins, exactly. Here they enter by their displacement from the site, with weights that all sites share;
    what a site knows of its place are the biases of its first hidden units and its own direct connections to its
    frontier. ``hidden`` are the sizes of the layers, ``symmetric`` is as in ``Autoregressive``. A new network is
    uniform. Raises ValueError for lattices with more than one site a cell, and for no hidden layer or an empty one.
    Source: Biazzo, Wu and Carleo (2024), whose networks read the same sites.
    """

    slots: Tensor

    def __init__(
        self,
        lattice: Lattice,
        hidden: Sequence[int] = (64, 64),
        unit: Unit | None = None,
        *,
        symmetric: bool = False,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(lattice.n_sites, unit, symmetric, None)
        self.lattice, self.hidden = lattice, tuple(hidden)
        if min(self.hidden, default=0) < 1:
            raise ValueError(f"a frontier network needs hidden layers of 1 or more units, got {self.hidden}")
        if len(lattice.basis) > 1:
            raise ValueError(f"a frontier network needs one site a cell, a {lattice.geometry} lattice has more")
        self.width = self.n_visible * max(self.hidden)
        stream = generator(0, "frontier", "weights", device="cpu") if rng is None else rng
        host, seen = torch.device("cpu"), frontier(lattice)
        self.register_buffer("slots", torch.from_numpy(by_displacement(lattice, seen)), persistent=False)
        sizes = [self.slots.shape[-1], *self.hidden, 1]
        layers = [nn.utils.skip_init(nn.Linear, *ends, device=host) for ends in pairwise(sizes)]
        self.layers = nn.ModuleList(started(layer, stream) for layer in layers)
        nn.init.zeros_(self.layers[-1].get_parameter("weight"))
        noise = torch.randn(self.n_visible, self.hidden[0], generator=stream, device=stream.device)
        self.place = nn.Parameter(0.3 * noise.cpu())
        self.direct = MaskedLinear(torch.from_numpy(seen))
        self.to(default_device() if device is None else torch.device(device))

    @property
    def config(self) -> dict[str, Any]:
        return {
            "model": "frontier",
            "graph": self.lattice.config,
            "hidden": list(self.hidden),
            "unit": unit_config(self.unit),
            "symmetric": self.symmetric,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FrontierNetwork:
        lattice = build_graph(config["graph"])
        if not isinstance(lattice, Lattice):
            raise ValueError("a frontier network needs a lattice: this graph has no displacements")
        return cls(lattice, config["hidden"], build_unit(config["unit"]), symmetric=config["symmetric"])

    def log_odds(self, x: Tensor) -> Tensor:
        around = pad(x, (0, 1))[:, self.slots.flatten()].unflatten(-1, self.slots.shape)
        return self._shared(around, self.place) + self.direct(x)

    def successively(self, x: Tensor) -> Iterator[Tensor]:
        drawn = pad(x, (0, 0, 0, 1))
        for k in range(self.n_visible):
            if k:
                drawn[k - 1] = x[k - 1]
            yield self._shared(drawn[self.slots[k]].T, self.place[k]) + self.direct.row(k, x, k)

    def _shared(self, around: Tensor, place: Tensor) -> Tensor:
        """The part of the log-odds whose weights all sites share; (*batch, slots), (*, hidden) -> (*batch,)."""
        first, *others = self.layers
        h = relu(first(around) + place)
        for layer in others[:-1]:
            h = relu(layer(h))
        eta: Tensor = others[-1](h)
        return eta.squeeze(-1)


def frontier(graph: Graph) -> NDArray[np.bool_]:
    """Which of the sites before it each site sees: those with a neighbour that is the site itself or comes later.

    (n_sites, n_sites), [i, j] true where j < i <= the last neighbour of j.
    """
    sites = np.arange(graph.n_sites)
    last = graph.neighbours.max(axis=1, initial=-1)
    return (sites < sites[:, None]) & (sites[:, None] <= last)


def by_displacement(lattice: Lattice, seen: NDArray[np.bool_]) -> Index:
    """The sites that each site sees, one column a displacement, the number n_sites where there is none.

    Displacements are those along the layers, around the lattice, apart for the site's own layer, the one before
    and any earlier one; (n_sites, n_sites) -> (n_sites, columns).
    """
    here, there = np.nonzero(seen)
    step = lattice.cells[there] - lattice.cells[here]
    layer = np.minimum(-step[:, 0], 2)
    along = step[:, 1:] % np.array(lattice.shape[1:], dtype=np.int64)
    _, column = np.unique(np.column_stack([layer, along]), axis=0, return_inverse=True)
    slots = np.full((lattice.n_sites, int(column.max(initial=0)) + 1), lattice.n_sites)
    slots[here, column.ravel()] = there
    return slots
