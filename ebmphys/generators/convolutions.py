"""Convolutions between a periodic lattice and a coarser one, which know no border: circular padding throughout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.energies.networks import CONVOLUTIONS, mlp, started


@dataclass(frozen=True)
class Convolutions:
    """Layers of convolutions on a periodic lattice, each with so many channels on a lattice ``stride`` times coarser.

    ``shape`` are the lattice's one, two or three sides, ``kernel`` the sites a side of each filter. Raises ValueError
    for a stride that does not divide the sides of each layer, an even kernel, or one that reaches further than once
    around a lattice.
    """

    shape: tuple[int, ...]
    channels: tuple[int, ...] = (16, 32)
    kernel: int = 3
    stride: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        object.__setattr__(self, "channels", tuple(self.channels))
        sizes = (*self.shape, *self.channels, self.stride)
        if len(self.shape) not in CONVOLUTIONS or not self.channels or min(sizes) < 1:
            raise ValueError(
                f"convolutions need 1, 2 or 3 sides and 1 or more layers, channels and sites a stride, got {self}"
            )
        if any(side % self.stride ** len(self.channels) for side in self.shape):
            raise ValueError(
                f"{len(self.channels)} layers of stride {self.stride} need sides divisible by "
                f"{self.stride ** len(self.channels)}, got {self.shape}: take fewer layers or another stride"
            )
        narrowest = min(self.shape) // self.stride ** (len(self.channels) - 1)
        if self.kernel % 2 == 0 or not 0 <= self.kernel // 2 <= narrowest:
            raise ValueError(
                f"a kernel has an odd side that reaches once around the narrowest lattice, {narrowest}, at most, "
                f"got {self.kernel}"
            )

    @property
    def config(self) -> dict[str, Any]:
        """Plain data; ``Convolutions(**config)`` is the same again."""
        sizes = {"shape": list(self.shape), "channels": list(self.channels)}
        return sizes | {"kernel": self.kernel, "stride": self.stride}

    @property
    def coarse(self) -> tuple[int, ...]:
        """The sides of the coarsest lattice."""
        return tuple(side // self.stride ** len(self.channels) for side in self.shape)

    @property
    def n_features(self) -> int:
        """Numbers on the coarsest lattice: its sites times the last layer's channels."""
        return prod(self.coarse) * self.channels[-1]


class Coarsening(nn.Module):
    """Strided convolutions, SiLU after each: shifting the sites by the total stride shifts the features by one.

    (*batch, n_sites) -> (*batch, n_features), channel by channel.
    """

    def __init__(self, plan: Convolutions, rng: torch.Generator, device: torch.device) -> None:
        super().__init__()
        self.shape = plan.shape
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise((1, *plan.channels)):
            layers += [_periodic(plan, n_in, n_out, plan.stride, rng, device), nn.SiLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layers(x.reshape(-1, 1, *self.shape))
        return features.reshape(*x.shape[:-1], -1)


class Refining(nn.Module):
    """The way back: each layer repeats every site ``stride`` times a side and convolves; the last gives one number.

    Nearest neighbours and no transposed convolutions, whose overlaps print a pattern on the lattice (Odena, Dumoulin
    and Olah 2016). Shifting the features by one shifts the sites by the total stride.
    (*batch, n_features) -> (*batch, n_sites).
    """

    def __init__(self, plan: Convolutions, rng: torch.Generator, device: torch.device) -> None:
        super().__init__()
        self.shape = (plan.channels[-1], *plan.coarse)
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise((*reversed(plan.channels), plan.channels[0])):
            up = nn.Upsample(scale_factor=float(plan.stride), mode="nearest")
            layers += [up, _periodic(plan, n_in, n_out, 1, rng, device), nn.SiLU()]
        layers.append(_periodic(plan, plan.channels[0], 1, 1, rng, device))
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        x: Tensor = self.layers(features.reshape(-1, *self.shape))
        return x.reshape(*features.shape[:-1], -1)


def _periodic(
    plan: Convolutions, n_in: int, n_out: int, stride: int, rng: torch.Generator, device: torch.device
) -> nn.Module:
    options = {"stride": stride, "padding": plan.kernel // 2, "padding_mode": "circular", "device": device}
    return started(nn.utils.skip_init(CONVOLUTIONS[len(plan.shape)], n_in, n_out, plan.kernel, **options), rng)


def writer(
    n_inputs: int,
    hidden: Sequence[int],
    n_visible: int,
    convolutions: Convolutions | None,
    rng: torch.Generator,
    device: torch.device,
) -> nn.Module:
    """A network (*batch, n_inputs) -> (*batch, n_visible): hidden layers in reverse, then convolutions if any."""
    if convolutions is None:
        return mlp([n_inputs, *reversed(hidden), n_visible], rng, device)
    inner = mlp([n_inputs, *reversed(hidden), convolutions.n_features], rng, device)
    return nn.Sequential(*inner, nn.SiLU(), Refining(convolutions, rng, device))
