"""Masked convolutions in raster order on a lattice that may be periodic (van den Oord and others 2016)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from ebmphys.energies.networks import started
from ebmphys.generators.autoregressive.base import Autoregressive
from ebmphys.generators.autoregressive.masked import MaskedLinear
from ebmphys.lattice import Lattice, build_graph
from ebmphys.rng import default_device, generator
from ebmphys.units import Unit, build_unit, unit_config

Shift = Callable[[int, Tensor], Tensor]  # layer number, features -> those one row above, or one site to the left


class PixelCNN(Autoregressive):
    """Two stacks of residual convolutions on a square lattice, one down the rows and one along each row.

    The first reads the rows above a site, the second the sites to its left and what the first knows, so that there is
    no blind spot. A periodic lattice joins its last row to its first: rows are convolved around the lattice, which is
    causal because rows above are whole, and both stacks are told, at every later site, the first row's spin in that
    column and the first spin of that row, which padding around the lattice could not give without showing the future.
    Each site has biases of its own, and direct connections to the sites before it. ``channels`` features a site,
    ``blocks`` that reach one site further each; ``symmetric`` as in ``Autoregressive``. A new network is uniform.
    Raises ValueError for other than square lattices in two dimensions, and for no channels or blocks.
    """

    def __init__(
        self,
        lattice: Lattice,
        channels: int = 24,
        blocks: int = 4,
        unit: Unit | None = None,
        *,
        symmetric: bool = False,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(lattice.n_sites, unit, symmetric, None)
        self.lattice, self.channels, self.blocks = lattice, channels, blocks
        if lattice.geometry != "hypercubic" or lattice.dimension != 2:
            raise ValueError(f"a PixelCNN needs a square lattice, got {lattice.geometry} of shape {lattice.shape}")
        if min(channels, blocks) < 1:
            raise ValueError(f"a PixelCNN needs 1 or more channels and blocks, got {channels} and {blocks}")
        self.width = 6 * channels * self.n_visible
        stream = generator(0, "pixelcnn", "weights", device="cpu") if rng is None else rng
        sites = torch.arange(self.n_visible)
        # At these sizes a product of matrices is faster than a convolution: features are the last axis throughout.
        entering = (2, *(2 * channels,) * blocks)
        self.rows = nn.ModuleList(_linear(3 * n, channels, stream) for n in entering)
        self.sites = nn.ModuleList(_linear(n, channels, stream) for n in entering)
        self.across = nn.ModuleList(_linear(channels, channels, stream) for _ in range(blocks + 1))
        self.last = _linear(channels, 1, stream)
        nn.init.zeros_(self.last.get_parameter("weight"))
        self.direct = MaskedLinear(sites[:, None] > sites)
        noise = torch.randn(2, *lattice.shape, channels, generator=stream, device=stream.device)
        self.place = nn.Parameter(0.3 * noise.cpu())
        self.to(default_device() if device is None else torch.device(device))

    @property
    def config(self) -> dict[str, Any]:
        return {
            "model": "pixelcnn",
            "graph": self.lattice.config,
            "channels": self.channels,
            "blocks": self.blocks,
            "unit": unit_config(self.unit),
            "symmetric": self.symmetric,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PixelCNN:
        lattice = build_graph(config["graph"])
        if not isinstance(lattice, Lattice):
            raise ValueError("a PixelCNN needs a lattice: this graph has no rows")
        sizes = (config["channels"], config["blocks"])
        return cls(lattice, *sizes, build_unit(config["unit"]), symmetric=config["symmetric"])

    def log_odds(self, x: Tensor) -> Tensor:
        grid = x.reshape(-1, *self.lattice.shape, 1)
        first_row, first_column = torch.zeros_like(grid), torch.zeros_like(grid)
        first_row[:, 1:], first_column[:, :, 1:] = grid[:, :1], grid[:, :, :1]
        above = self._down(torch.cat([_from_above(0, grid), first_row], -1), self.place[0], _from_above)
        left = torch.cat([_from_the_left(0, grid), first_column], -1)
        return self._along(left, self.place[1], above, _from_the_left).flatten(1) + self.direct(x)

    def successively(self, x: Tensor) -> Iterator[Tensor]:
        n_rows, n_columns = self.lattice.shape
        from_above = _Before()
        for r in range(n_rows):
            last = slice((r - 1) * n_columns, r * n_columns)
            rows = [x[last], x[:n_columns]] if r else 2 * [torch.zeros_like(x[:n_columns])]
            above = self._down(torch.stack(rows).permute(2, 1, 0)[:, None], self.place[0, r : r + 1], from_above)
            from_the_left = _Before()
            for c in range(n_columns):
                k = r * n_columns + c
                left = [x[k - 1], x[k - c]] if c else 2 * [torch.zeros_like(x[0])]
                here, place = [f[:, :, c : c + 1] for f in above], self.place[1, r : r + 1, c : c + 1]
                eta = self._along(torch.stack(left, -1)[:, None, None], place, here, from_the_left)
                yield eta.flatten() + self.direct.row(k, x, k)

    def _down(self, entering: Tensor, place: Tensor, from_above: Shift) -> list[Tensor]:
        """Features of the rows above, block by block; (n, rows, columns, 2) -> (n, rows, columns, channels) each."""
        features = [self.rows[0](self._with_both_sides(entering)) + place]
        for number, layer in enumerate(self.rows[1:]):
            f = relu(features[-1])
            both = torch.cat([from_above(number, f), f], -1)
            features.append(features[-1] + layer(self._with_both_sides(both)))
        return features

    def _along(self, entering: Tensor, place: Tensor, above: list[Tensor], from_the_left: Shift) -> Tensor:
        """Log-odds, of the sites to the left and the rows above; (n, rows, columns, 2) -> (n, rows, columns, 1)."""
        h = self.sites[0](entering) + self.across[0](relu(above[0])) + place
        for number, (layer, across, f) in enumerate(zip(self.sites[1:], self.across[1:], above[1:], strict=True)):
            g = relu(h)
            h = h + layer(torch.cat([from_the_left(number, g), g], -1)) + across(relu(f))
        eta: Tensor = self.last(relu(h))
        return eta

    def _with_both_sides(self, f: Tensor) -> Tensor:
        """Each site's features and those of its neighbours in the row; (*, columns, m) -> (*, columns, 3 m)."""
        ends = (f[:, :, -1:], f[:, :, :1]) if self.lattice.periodic[1] else 2 * (torch.zeros_like(f[:, :, :1]),)
        wide = torch.cat([ends[0], f, ends[1]], 2)
        return torch.cat([wide[:, :, :-2], f, wide[:, :, 2:]], -1)


class _Before:
    """A shift by one step for features that come one step at a time: those of the step before, zero at the first."""

    def __init__(self) -> None:
        self.kept: dict[int, Tensor] = {}

    def __call__(self, number: int, features: Tensor) -> Tensor:
        before = self.kept.get(number)
        self.kept[number] = features
        return torch.zeros_like(features) if before is None else before


def _from_above(number: int, features: Tensor) -> Tensor:
    return pad(features, (0, 0, 0, 0, 1, -1))


def _from_the_left(number: int, features: Tensor) -> Tensor:
    return pad(features, (0, 0, 1, -1))


def _linear(n_in: int, n_out: int, rng: torch.Generator) -> nn.Module:
    return started(nn.utils.skip_init(nn.Linear, n_in, n_out, device=torch.device("cpu")), rng)
