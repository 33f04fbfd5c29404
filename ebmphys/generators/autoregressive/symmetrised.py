"""A law averaged over symmetries: what a network breaks of them is averaged out of q itself."""

from __future__ import annotations

import math
from itertools import permutations, product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ebmphys.generators.autoregressive.base import Autoregressive
from ebmphys.generators.autoregressive.frontier import FrontierNetwork
from ebmphys.generators.autoregressive.made import MADE
from ebmphys.generators.autoregressive.pixelcnn import PixelCNN
from ebmphys.generators.base import TractableModel
from ebmphys.lattice import Index, Lattice, build_graph
from ebmphys.units import Unit

AUTOREGRESSIVE: dict[str, type[Autoregressive]] = {"made": MADE, "frontier": FrontierNetwork, "pixelcnn": PixelCNN}
_ROWS = 2**12  # images at a time through a network


class Symmetrised(TractableModel):
    """q_G(v) = 1/|G| sum over g in G of q(g v), exact, at |G| times the cost of log q and none for draws.

    G are the rotations and reflections of a hypercubic lattice with ``point_group``, translations by multiples of
    ``translations`` sites along the periodic axes (None: no translations), and, with ``flip``, the global flip. Where
    p has these symmetries KL(p || q_G) is at most the average of KL(p || q) over the images of q, and in practice
    several times smaller: the errors of q at the images of a configuration are nearly independent. So train q with
    these symmetries as augmentation, then wrap it.
    Raises ValueError for a lattice without the model's sites, and a step that does not divide the periodic sides.
    """

    moves: Tensor

    def __init__(
        self,
        model: Autoregressive,
        lattice: Lattice,
        *,
        point_group: bool = True,
        translations: int | None = None,
        flip: bool = False,
    ) -> None:
        super().__init__()
        if lattice.n_sites != model.n_visible:
            raise ValueError(f"the lattice has {lattice.n_sites} sites and the model {model.n_visible}")
        self.n_visible, self.lattice, self.flip = model.n_visible, lattice, flip
        self.point_group, self.translations = point_group, translations
        self.model = model
        moves = torch.from_numpy(lattice_moves(lattice, point_group, translations))
        self.register_buffer("moves", moves.to(model.device), persistent=False)

    @property
    def visible_unit(self) -> Unit:
        return self.model.visible_unit

    @property
    def config(self) -> dict[str, Any]:
        return {
            "model": "symmetrised",
            "of": self.model.config,
            "graph": self.lattice.config,
            "point_group": self.point_group,
            "translations": self.translations,
            "flip": self.flip,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Symmetrised:
        lattice, name = build_graph(config["graph"]), config["of"]["model"]
        if not isinstance(lattice, Lattice) or name not in AUTOREGRESSIVE:
            raise ValueError(f"a lattice and one of {', '.join(AUTOREGRESSIVE)} can be symmetrised, got {name!r}")
        model = AUTOREGRESSIVE[name].from_config(config["of"])
        assert isinstance(model, Autoregressive)
        return cls(model, lattice, **{key: config[key] for key in ("point_group", "translations", "flip")})

    def log_prob(self, v: Tensor) -> Tensor:
        each = len(self.moves) * (1 + self.flip)
        rows = v.reshape(-1, self.n_visible).split(max(1, _ROWS // each))
        return torch.cat([self._averaged(some) for some in rows]).reshape(v.shape[:-1])

    def _averaged(self, v: Tensor) -> Tensor:
        images = v[:, self.moves]
        if self.flip:
            images = torch.cat([images, torch.where(images > 0, -1.0, 1.0).to(v.dtype)], 1)
        return torch.logsumexp(self.model.log_prob(images), 1) - math.log(images.shape[1])

    @torch.no_grad()
    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """A draw of q each, moved by a symmetry at random; -> (n, n_visible). Raises as the model's own ``draw``."""
        x = self.model.draw(n, rng)
        chosen = torch.randint(len(self.moves), (n,), generator=rng, device=rng.device)
        x = x.gather(-1, self.moves.argsort(-1)[chosen])  # the v whose image under the move is x
        if not self.flip:
            return x
        heads = torch.rand(n, 1, generator=rng, device=rng.device) < 0.5
        return torch.where(heads, sum(self.visible_unit.values) - x, x)


def lattice_moves(lattice: Lattice, point_group: bool, translations: int | None) -> Index:
    """For each symmetry, once, the site that every site's value comes from; -> (n_moves, n_sites).

    Raises ValueError for a step of translation that does not divide the periodic sides, and for the point group of
    lattices that are not hypercubic.
    """
    if point_group and lattice.geometry != "hypercubic":
        raise ValueError(f"the point group is known for hypercubic lattices, this one is {lattice.geometry}")
    around = [side for side, wraps in zip(lattice.shape, lattice.periodic, strict=True) if wraps]
    if translations is not None and (translations < 1 or any(side % translations for side in around)):
        raise ValueError(f"a step of translation must divide the periodic sides {around}, got {translations}")
    sites, axes = np.arange(lattice.n_cells).reshape(lattice.shape), range(lattice.dimension)
    kinds = list(zip(lattice.shape, lattice.periodic, strict=True))
    turned = [sites]
    if point_group:
        alike = [p for p in permutations(axes) if [kinds[a] for a in p] == kinds]
        mirrors = [m for size in range(lattice.dimension + 1) for m in _subsets(lattice.dimension, size)]
        turned = [np.flip(sites.transpose(p), m) for p in alike for m in mirrors]
    steps = [range(0, side, translations) if wraps and translations is not None else range(1) for side, wraps in kinds]
    cells = [np.roll(t, by, tuple(axes)).ravel() for t in turned for by in product(*steps)]
    n_basis = len(lattice.basis)
    moves = np.unique(np.stack(cells), axis=0)
    return (moves[:, :, None] * n_basis + np.arange(n_basis)).reshape(len(moves), -1)


def _subsets(n: int, size: int) -> list[tuple[int, ...]]:
    return [axes for axes in product(range(n), repeat=size) if list(axes) == sorted(set(axes))]
