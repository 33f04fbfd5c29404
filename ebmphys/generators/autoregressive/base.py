"""The contract of autoregressive networks: two-valued sites, one after another, each from its log-odds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ebmphys.generators.base import TractableModel, log_density
from ebmphys.rng import uniforms
from ebmphys.units import Spin, Unit

_ROWS = 1024  # drawn at a time: what a step reads then stays in the cache
_CACHE, _MEMORY = 2**19, 2**26  # numbers in one layer at a time, on the CPU and elsewhere


class Autoregressive(TractableModel):
    """q(v) = prod_k q(v_o(k) | v_o(1), ..., v_o(k-1)) for two-valued sites in some order o, normalised by construction.

    A network reads the sites as -1/+1, in the order in which they are drawn, and gives each the log-odds of the upper
    value given those before. With ``symmetric`` q(-v) = q(v) exactly and at no cost: the network reads every site
    relative to the first one drawn, whose own odds are even. A law that has the symmetry loses nothing by it.
    Raises ValueError for units that are not two-valued, and for an order that does not name every site once.
    """

    order: Tensor
    rank: Tensor
    width: int  # numbers in the network's widest layer, for one configuration

    def __init__(self, n_visible: int, unit: Unit | None, symmetric: bool, order: Sequence[int] | None) -> None:
        super().__init__()
        self.n_visible, self.symmetric = n_visible, symmetric
        self.unit: Unit = Spin() if unit is None else unit
        if n_visible < 1:
            raise ValueError(f"an autoregressive network needs one site or more, got {n_visible}")
        if len(self.unit.values) != 2:
            raise ValueError(f"an autoregressive network has two-valued units, got {self.unit.name}")
        sites = torch.arange(n_visible) if order is None else torch.as_tensor(order, dtype=torch.long)
        if sites.shape != (n_visible,) or not torch.equal(sites.sort().values, torch.arange(n_visible)):
            raise ValueError(f"the order must name each of the {n_visible} sites once, got {list(order or ())}")
        self.register_buffer("order", sites, persistent=False)
        self.register_buffer("rank", sites.argsort(), persistent=False)

    @abstractmethod
    def log_odds(self, x: Tensor) -> Tensor:
        """The network: log-odds of +1 of each site given those before it, all in the order of drawing.

        x of -1/+1 in the parameters' precision; (rows, n_visible) -> (rows, n_visible).
        """

    @abstractmethod
    def successively(self, x: Tensor) -> Iterator[Tensor]:
        """``log_odds`` of one site after the other, for all rows at once, with no site computed twice.

        x is (n_visible, rows), in the order of drawing, and its row k is set before log-odds number k + 1 are asked
        for; yields (rows,) n_visible times.
        """

    @property
    def visible_unit(self) -> Unit:
        return self.unit

    def logits(self, v: Tensor) -> Tensor:
        """The log-odds of the upper value of every site given the sites drawn before it, in one pass.

        (*batch, n_visible) -> the same. Data may be -1/+1 or 0/1 for either unit.
        """
        kind = next(self.parameters()).dtype
        x = (v > 0).to(kind).mul_(2).sub_(1).reshape(-1, self.n_visible)[:, self.order]
        if self.symmetric:
            first = x[:, :1]
            eta = self._by_parts(x * first) * first
            eta = torch.cat([torch.zeros_like(first), eta[:, 1:]], -1)
        else:
            eta = self._by_parts(x)
        return eta[:, self.rank].reshape(v.shape)

    def log_prob(self, v: Tensor) -> Tensor:
        return log_density(self.unit, v, self.logits(v)).sum(-1)

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """n independent configurations, site by site, at about the cost of one pass; -> (n, n_visible).

        Raises ValueError for n < 1, or where model and generator are on different devices.
        """
        self.check_draws(n, rng)
        return self.at(uniforms((n, self.n_visible), rng))

    @torch.no_grad()
    def at(self, u: Tensor) -> Tensor:
        """The configurations that uniform numbers decide: a site takes its upper value where u < q(upper | before).

        u in [0, 1), of the sites; (n, n_visible) -> (n, n_visible).
        """
        lower, upper = self.unit.values
        kind = next(self.parameters()).dtype
        parts = [self._signs(some.T[self.order].contiguous(), kind) for some in u.split(_ROWS)]
        return torch.where(torch.cat(parts, -1)[self.rank].T > 0, upper, lower)

    def _by_parts(self, x: Tensor) -> Tensor:
        at_once = max(1, (_CACHE if x.device.type == "cpu" else _MEMORY) // self.width)
        return self.log_odds(x) if len(x) <= at_once else torch.cat([self.log_odds(some) for some in x.split(at_once)])

    def _signs(self, u: Tensor, kind: torch.dtype) -> Tensor:
        x = torch.zeros(u.shape, dtype=kind, device=u.device)
        first: Tensor | None = None
        for k, eta in enumerate(self.successively(x)):
            if k == 0 and self.symmetric:
                first = (u[0] < 0.5).to(kind).mul_(2).sub_(1)
                x[0] = 1
            else:
                eta = eta if first is None else eta * first
                up = (u[k] < torch.sigmoid(eta)).to(kind).mul_(2).sub_(1)
                x[k] = up if first is None else up * first
        return x if first is None else x * first
