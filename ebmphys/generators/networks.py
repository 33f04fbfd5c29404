"""Networks that the generators are made of, initialised from a generator that is passed in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn


def mlp(sizes: Sequence[int], rng: torch.Generator, device: torch.device) -> nn.Sequential:
    """Linear layers of these sizes with SiLU between them, none after the last; two sizes give a linear map.

    SiLU is smooth, which lets quadrature over the latents converge fast. Weights start as N(0, 2 / (in + out))
    (Glorot and Bengio 2010), biases at zero; torch's own initialisation would read the global generator.
    """
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        linear = nn.utils.skip_init(nn.Linear, n_in, n_out, device=device)
        noise = torch.randn(n_out, n_in, generator=rng, device=rng.device)
        with torch.no_grad():
            linear.weight.copy_(noise * (2 / (n_in + n_out)) ** 0.5)
            linear.bias.zero_()
        layers += [linear, nn.SiLU()]
    return nn.Sequential(*layers[:-1])
