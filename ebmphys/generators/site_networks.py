"""Networks that read fields on the sites and give one number a site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.energies.networks import CONVOLUTIONS, mlp, started


class DenseSites(nn.Module):
    """An MLP of all fields and all shared numbers; (batch, fields, n), (batch, shared) -> (batch, n)."""

    def __init__(
        self, n: int, fields: int, shared: int, hidden: Sequence[int], rng: torch.Generator, device: torch.device
    ) -> None:
        super().__init__()
        self.layers = mlp([n * fields + shared, *hidden, n], rng, device)

    def forward(self, fields: Tensor, shared: Tensor) -> Tensor:
        output: Tensor = self.layers(torch.cat([fields.flatten(1), shared], -1))
        return output


class PeriodicSites(nn.Module):
    """Convolutions on a periodic lattice: shifting the fields shifts what comes out.

    (batch, fields, n), (batch, shared) -> (batch, n), where the shared numbers are the same on every site. From the
    second layer on each is added to what it reads where the channels are as many.
    Raises ValueError for other than one to three dimensions, an even kernel, and one that reaches further than once
    around.
    """

    def __init__(
        self,
        shape: Sequence[int],
        fields: int,
        shared: int,
        channels: Sequence[int],
        kernel: int,
        rng: torch.Generator,
        device: torch.device,
    ) -> None:
        super().__init__()
        if len(shape) not in CONVOLUTIONS:
            raise ValueError(f"a lattice for convolutions has 1, 2 or 3 sides, got shape {tuple(shape)}")
        if kernel % 2 == 0 or kernel // 2 > min(shape):
            raise ValueError(f"a kernel has an odd side that fits the lattice {tuple(shape)}, got {kernel}")
        self.shape = tuple(shape)
        convolution, layers = CONVOLUTIONS[len(shape)], []
        options = {"padding": kernel // 2, "padding_mode": "circular", "device": device}
        for n_in, n_out in zip((fields + shared, *channels), channels, strict=False):
            layers.append(started(nn.utils.skip_init(convolution, n_in, n_out, kernel, **options), rng))
        self.layers = nn.ModuleList(layers)
        self.last = started(nn.utils.skip_init(convolution, channels[-1], 1, 1, device=device), rng)

    def forward(self, fields: Tensor, shared: Tensor) -> Tensor:
        everywhere = shared[..., None].expand(*shared.shape, fields.shape[-1])
        x = torch.cat([fields, everywhere], 1).unflatten(-1, self.shape)
        for layer in self.layers:
            y = nn.functional.silu(layer(x))
            x = x + y if x.shape == y.shape else y
        output: Tensor = self.last(x)
        return output.flatten(1)


def site_network(
    config: Mapping[str, Any], n: int, fields: int, shared: int, rng: torch.Generator, device: torch.device
) -> nn.Module:
    """A network (batch, fields, n), (batch, shared) -> (batch, n) from plain data.

    ``{"kind": "mlp", "hidden": [128, 128]}``, or ``{"kind": "convolutional", "shape": [8, 8], "channels": [32, 32],
    "kernel": 3}``. Raises ValueError for other kinds, sizes below 1, and a shape that has not n sites.
    """
    kind = config.get("kind")
    sizes = config.get("hidden" if kind == "mlp" else "channels", ())
    if kind not in ("mlp", "convolutional") or not sizes or min(sizes) < 1:
        raise ValueError(
            f"a network is of kind mlp with hidden sizes, or convolutional with shape, channels, kernel; got {config}"
        )
    if kind == "mlp":
        return DenseSites(n, fields, shared, sizes, rng, device)
    if prod(config["shape"]) != n:
        raise ValueError(f"a lattice of shape {tuple(config['shape'])} has not {n} sites")
    return PeriodicSites(config["shape"], fields, shared, sizes, config["kernel"], rng, device)
