"""The restricted Boltzmann machine that knows the lattice's translations: filters in place of weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.energies.torus import Displacements, Gathered, fastest
from ebmphys.energies.two_layers import Couplings, TwoLayers
from ebmphys.lattice import Lattice, build_graph
from ebmphys.rng import default_device
from ebmphys.units import Spin, Unit, build_unit, unit_config


class ConvolutionalRBM(TwoLayers):
    """An RBM with a hidden unit (k, t) for each filter k and lattice site t, and W[v, (k, t)] = filter_k(v - t).

    One bias for all visible units and one a filter, so that p(v) is invariant under every translation, exactly;
    without ``biases`` a machine of spins (or Gaussian units) has the Z2 symmetry too. Filters act over displacements
    of length up to ``reach``, over all where it is None; hidden units are in the order of (filter, site). ``filters``
    is (n_filters m', m n_displacements), m and m' statistics a unit, and starts as N(0, scale^2 / n_displacements)
    where a generator is given, at zero where not. Fields are sums of shifted lattices where there are up to 9
    displacements, else matrix products up to 144 sites and products in Fourier space on larger lattices.
    Source: Lee, Grosse, Ranganath and Ng (2009), here with periodic boundaries and no pooling.
    Raises ValueError without filters, and for a lattice with open axes or several sites a cell.
    """

    def __init__(
        self,
        lattice: Lattice,
        n_filters: int,
        reach: float | None = None,
        visible: Unit | None = None,
        hidden: Unit | None = None,
        *,
        biases: bool = True,
        rng: torch.Generator | None = None,
        scale: float = 0.1,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        if n_filters < 1:
            raise ValueError(f"a convolutional RBM needs one filter or more, got {n_filters}")
        place = default_device() if device is None else torch.device(device)
        self.lattice, self.n_filters, self.reach, self.biases = lattice, n_filters, reach, biases
        self.displacements = Displacements(lattice, reach)
        self.n_visible, self.n_hidden = lattice.n_sites, n_filters * lattice.n_sites
        self.n_sites = self.n_visible + self.n_hidden
        self.visible: Unit = Spin() if visible is None else visible
        self.hidden: Unit = Spin() if hidden is None else hidden
        self.visible_log_precision = self.hidden_log_precision = None
        inner, outer = self.visible.n_statistics, n_filters * self.hidden.n_statistics
        filters = torch.zeros(outer, inner * len(self.displacements), device=place)
        if rng is not None:
            noise = torch.randn(filters.shape, generator=rng, device=rng.device)
            filters = noise.to(place) * (scale / len(self.displacements) ** 0.5)
        self.filters = nn.Parameter(filters)
        self.visible_bias = nn.Parameter(torch.zeros(inner, device=place), requires_grad=biases)
        self.hidden_bias = nn.Parameter(torch.zeros(outer, device=place), requires_grad=biases)
        self.sum_over_displacements = fastest(self.displacements).to(place)

    @property
    def config(self) -> dict[str, Any]:
        return {
            "model": "convolutional_rbm",
            "graph": self.lattice.config,
            "n_filters": self.n_filters,
            "reach": self.reach,
            "visible": unit_config(self.visible),
            "hidden": unit_config(self.hidden),
            "biases": self.biases,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ConvolutionalRBM:
        lattice, units = build_graph(config["graph"]), (build_unit(config["visible"]), build_unit(config["hidden"]))
        if not isinstance(lattice, Lattice):
            raise ValueError("a convolutional RBM needs a lattice: this graph has no translations")
        return cls(lattice, config["n_filters"], config["reach"], *units, biases=config["biases"])

    def couplings(self) -> Couplings:
        spread = Gathered(self.displacements).to(self.device).matrix(self._kernels())
        by_filter = spread.unflatten(0, (self.n_filters, -1))  # (filter, b, t, a, v)
        weights = by_filter.permute(4, 3, 0, 2, 1).reshape(len(self.visible_fields()), -1)
        hidden = self.hidden_bias.view(self.n_filters, 1, -1).expand(-1, self.n_visible, -1)
        return Couplings(weights, self.visible_fields(), hidden.flatten())

    def visible_fields(self) -> Tensor:
        return self.visible_bias.repeat(self.n_visible)

    def hidden_field(self, s: Tensor) -> Tensor:
        field = self.sum_over_displacements(self._channels(s, 1), self._kernels()) + self.hidden_bias[:, None]
        return self._flat(field, self.n_filters).reshape(*s.shape[:-1], -1)

    def visible_field(self, t: Tensor) -> Tensor:
        channels = self._channels(t, self.n_filters)
        field = self.sum_over_displacements(channels, self._kernels(), adjoint=True) + self.visible_bias[:, None]
        return self._flat(field, 1).reshape(*t.shape[:-1], -1)

    def _kernels(self) -> Tensor:
        return self.filters.unflatten(1, (-1, len(self.displacements)))

    def _channels(self, flat: Tensor, groups: int) -> Tensor:
        """Statistics of groups of units on the lattice as channels; (*batch, groups n m) -> (n_rows, groups m, n)."""
        return flat.reshape(-1, groups, self.n_visible, flat.shape[-1] // (groups * self.n_visible)).mT.flatten(1, 2)

    def _flat(self, channels: Tensor, groups: int) -> Tensor:
        """The inverse of ``_channels``, rows apart; (n_rows, groups m, n) -> (n_rows, groups n m)."""
        return channels.unflatten(1, (groups, -1)).mT.flatten(1)
