"""The masked autoencoder of Germain, Gregor, Murray and Larochelle (2015): one dense network for all conditionals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from ebmphys.generators.autoregressive.base import Autoregressive
from ebmphys.generators.autoregressive.masked import MaskedLinear
from ebmphys.rng import default_device, generator
from ebmphys.units import Unit, build_unit, unit_config


class MADE(Autoregressive):
    """An MLP in which a hidden unit of degree d sees sites 0 to d, and site k only units of degree below k.

    ``hidden`` are the sizes of its layers, with degrees spread evenly over the sites. Every site is also connected to
    those before it directly: with these connections alone, hidden = (), each conditional is a logistic regression.
    ``order`` is the order of drawing, that of the sites unless told; ``symmetric`` as in ``Autoregressive``. A new
    network is uniform: the weights of the last layer and the direct ones start at zero.
    Raises ValueError for layers without units, and as ``Autoregressive``.
    """

    def __init__(
        self,
        n_visible: int,
        hidden: Sequence[int] = (256, 256),
        unit: Unit | None = None,
        *,
        symmetric: bool = False,
        order: Sequence[int] | None = None,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(n_visible, unit, symmetric, order)
        self.hidden = tuple(hidden)
        if min(self.hidden, default=1) < 1:
            raise ValueError(f"hidden layers need 1 or more units, got {self.hidden}")
        self.width = max((n_visible, *self.hidden))
        stream = generator(0, "made", "weights", device="cpu") if rng is None else rng
        sites = torch.arange(n_visible)
        # Ascending degrees, so that the units that a site may see are the first so many of each layer.
        degrees = [sites, *(torch.arange(size) * max(n_visible - 1, 1) // size for size in self.hidden)]
        self.ends = [torch.searchsorted(degree, torch.arange(n_visible + 1)).tolist() for degree in degrees]
        masks = [above[:, None] >= below for below, above in pairwise(degrees)]
        self.layers = nn.ModuleList(MaskedLinear(mask, stream) for mask in masks)
        self.last = MaskedLinear(sites[:, None] > degrees[-1])
        self.direct = MaskedLinear(sites[:, None] > sites) if self.hidden else None
        self.to(default_device() if device is None else torch.device(device))

    @property
    def config(self) -> dict[str, Any]:
        natural = bool((self.order.diff() > 0).all())
        return {
            "model": "made",
            "n_visible": self.n_visible,
            "hidden": list(self.hidden),
            "unit": unit_config(self.unit),
            "symmetric": self.symmetric,
            "order": None if natural else self.order.tolist(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MADE:
        unit = build_unit(config["unit"])
        options = {"symmetric": config["symmetric"], "order": config["order"]}
        return cls(config["n_visible"], config["hidden"], unit, **options)

    def log_odds(self, x: Tensor) -> Tensor:
        h = x
        for layer in self.layers:
            h = relu(layer(h))
        eta: Tensor = self.last(h)
        return eta if self.direct is None else eta + self.direct(x)

    def successively(self, x: Tensor) -> Iterator[Tensor]:
        filled = [x, *(x.new_zeros(size, x.shape[-1]) for size in self.hidden)]
        for k in range(self.n_visible):
            # Site k - 1 is there now: the units whose last missing site it was, layer by layer.
            for layer, below, above, ends in zip(self.layers, filled, filled[1:], pairwise(self.ends), strict=False):
                seen, new = ends[0][k], slice(ends[1][max(k - 1, 0)], ends[1][k])
                if new.start < new.stop:
                    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
                    above[new] = torch.addmm(bias[new, None], weight[new, :seen], below[:seen]).relu_()
            eta = self.last.row(k, filled[-1], self.ends[-1][k])
            yield eta if self.direct is None else eta + self.direct.row(k, x, k)
