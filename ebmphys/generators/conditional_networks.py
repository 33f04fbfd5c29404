"""Networks that are told something beside what they read."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ebmphys.energies.networks import mlp
from ebmphys.generators.convolutions import Coarsening, Convolutions


class Reader(nn.Module):
    """A network that reads a configuration, through convolutions where there are any, and numbers beside it.

    (*batch, n_visible), (*batch, width) or (width,) -> (*batch, n_outputs).
    """

    def __init__(
        self,
        n_visible: int,
        width: int,
        hidden: Sequence[int],
        n_outputs: int,
        convolutions: Convolutions | None,
        rng: torch.Generator,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.sites = nn.Identity() if convolutions is None else Coarsening(convolutions, rng, device)
        n_in = n_visible if convolutions is None else convolutions.n_features
        self.layers = mlp([n_in + width, *hidden, n_outputs], rng, device)

    def forward(self, x: Tensor, beside: Tensor) -> Tensor:
        output: Tensor = self.layers(joined(self.sites(x), beside))
        return output


def joined(x: Tensor, beside: Tensor) -> Tensor:
    """Both side by side, the same numbers beside every x or a row for each; (*batch, n), (width,) or (batch, width).

    Raises ValueError for rows that are not as many as the x.
    """
    if beside.ndim > 1 and x.shape[-2] != len(beside):
        raise ValueError(f"the model is held at conditions for {len(beside)} rows and got {x.shape[-2]}")
    return torch.cat([x, beside.expand(*x.shape[:-1], -1)], -1)
