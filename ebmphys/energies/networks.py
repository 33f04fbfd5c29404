"""Networks that models are made of, initialised from a generator that is passed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def mlp(sizes: Sequence[int], rng: torch.Generator, device: torch.device) -> nn.Sequential:
    """Linear layers of these sizes with SiLU between them, none after the last; two sizes give a linear map.

    SiLU is smooth, which lets quadrature over the latents converge fast. Weights start as N(0, 2 / (in + out))
    (Glorot and Bengio 2010), biases at zero; torch's own initialisation would read the global generator.
    """
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [started(nn.utils.skip_init(nn.Linear, n_in, n_out, device=device), rng), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


class PeriodicNetwork(nn.Module):
    """Convolutions on a periodic lattice, SiLU between them, summed over sites: translations leave it as it is.

    (n, prod(shape)) -> (n, 1). One, two or three dimensions; ``kernel`` sites a side, an odd number.
    Raises ValueError for other dimensions, for an even kernel, and for one that reaches further than once around.
    """

    def __init__(
        self, shape: Sequence[int], channels: Sequence[int], kernel: int, rng: torch.Generator, device: torch.device
    ) -> None:
        super().__init__()
        if len(shape) not in CONVOLUTIONS:
            raise ValueError(f"a lattice for convolutions has 1, 2 or 3 sides, got shape {tuple(shape)}")
        if kernel % 2 == 0 or kernel // 2 > min(shape):
            raise ValueError(f"a kernel has an odd side that fits the lattice {tuple(shape)}, got {kernel}")
        self.shape = tuple(shape)
        convolution = CONVOLUTIONS[len(shape)]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise((1, *channels)):
            options = {"padding": kernel // 2, "padding_mode": "circular", "device": device}
            layers += [started(nn.utils.skip_init(convolution, n_in, n_out, kernel, **options), rng), nn.SiLU()]
        layers.append(started(nn.utils.skip_init(convolution, channels[-1], 1, 1, device=device), rng))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layers(x.reshape(-1, 1, *self.shape))
        return features.flatten(1).sum(-1, keepdim=True)


def build_network(config: Mapping[str, Any], n: int, rng: torch.Generator, device: torch.device) -> nn.Module:
    """A network (batch, n) -> (batch, 1) from plain data.

    ``{"kind": "mlp", "hidden": [64, 64]}``, or ``{"kind": "convolutional", "shape": [8, 8], "channels": [16, 16],
    "kernel": 3}``. Raises ValueError for other kinds, sizes below 1, and a shape that has not n sites.
    """
    kind = config.get("kind")
    sizes = config.get("hidden" if kind == "mlp" else "channels", ())
    if kind not in ("mlp", "convolutional") or not sizes or min(sizes) < 1:
        raise ValueError(
            f"a network is of kind mlp with hidden sizes, or convolutional with shape, channels, kernel; got {config}"
        )
    if kind == "mlp":
        return mlp([n, *sizes, 1], rng, device)
    if prod(config["shape"]) != n:
        raise ValueError(f"a lattice of shape {tuple(config['shape'])} has not {n} sites")
    return PeriodicNetwork(config["shape"], sizes, config["kernel"], rng, device)


def started(layer: nn.Module, rng: torch.Generator) -> nn.Module:
    """The linear or convolutional layer with weights N(0, 2 / (in + out)), neighbours counted, and biases zero."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    n_out, n_in, receptive = weight.shape[0], weight.shape[1], prod(weight.shape[2:])
    noise = torch.randn(weight.shape, generator=rng, device=rng.device)
    with torch.no_grad():
        weight.copy_(noise * (2 / (receptive * (n_in + n_out))) ** 0.5)
        bias.zero_()
    return layer
