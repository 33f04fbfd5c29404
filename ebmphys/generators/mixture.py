"""Mixtures of independent sites: the simplest latent variable model, one hidden unit with a state a component."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ebmphys.energies.torus import Displacements
from ebmphys.generators.base import TractableModel
from ebmphys.lattice import Lattice
from ebmphys.rng import default_device, uniforms
from ebmphys.units import Spin, Unit, build_unit, unit_config

_CHUNK = 2**23  # numbers in one table of rows and components


class BernoulliMixture(TractableModel):
    """q(v) = sum_k pi_k prod_i p_ki(v_i), with p_ki the probability of the upper value at site i in component k.

    pi = softmax(``log_weights``), (n_components,), and ``log_odds`` = log p/(1 - p), (n_components, n_visible). With
    ``even`` a component stands for itself and its mirror image, and with ``shape``, the sides of a periodic lattice,
    for all its translations, its weight shared out evenly among them: q then has the symmetry, for no parameter more.
    Spins or bits, and v may be -1/+1 or 0/1 for either. Log-odds start as N(0, 1) where a generator is given; at
    zero, where not, and the components are all the same.
    Raises ValueError for sizes below 1, other units, and a shape that has not n_visible sites.
    """

    _moves: Tensor

    def __init__(
        self,
        n_visible: int,
        n_components: int,
        unit: Unit | None = None,
        *,
        even: bool = False,
        shape: Sequence[int] | None = None,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.n_visible, self.n_components, self.even = n_visible, n_components, even
        self.unit: Unit = Spin() if unit is None else unit
        self.shape = None if shape is None else tuple(shape)
        if min(n_visible, n_components) < 1:
            raise ValueError(f"a mixture needs 1 or more sites and components, got {n_visible} and {n_components}")
        if len(self.unit.values) != 2:
            raise ValueError(f"a Bernoulli mixture has two-valued visible units, got {self.unit.name}")
        place = default_device() if device is None else torch.device(device)
        odds = torch.zeros(n_components, n_visible, device=place)
        if rng is not None:
            odds += torch.randn(n_components, n_visible, generator=rng, device=rng.device).to(place)
        self.log_weights = nn.Parameter(torch.full((n_components,), -math.log(n_components), device=place))
        self.log_odds = nn.Parameter(odds)
        self.register_buffer("_moves", _translations(self.shape, n_visible).to(place), persistent=False)

    @property
    def visible_unit(self) -> Unit:
        return self.unit

    @property
    def config(self) -> dict[str, Any]:
        return {
            "model": "mixture",
            "n_visible": self.n_visible,
            "n_components": self.n_components,
            "unit": unit_config(self.unit),
            "even": self.even,
            "shape": None if self.shape is None else list(self.shape),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> BernoulliMixture:
        unit = build_unit(config["unit"])
        return cls(config["n_visible"], config["n_components"], unit, even=config["even"], shape=config["shape"])

    @property
    def n_images(self) -> int:
        """How many images of itself, under the symmetries, a component stands for: 1 without any."""
        return len(self._moves) * (2 if self.even else 1)

    def images(self) -> Tensor:
        """The log-odds of every image of every component; -> (n_components, n_images, n_visible)."""
        moved = self.log_odds[:, self._moves]
        return torch.cat([moved, -moved], dim=1) if self.even else moved

    def log_joint(self, v: Tensor) -> Tensor:
        """log q(v, k, g) of component k's image g; (*batch, n_visible) -> (*batch, n_components, n_images)."""
        odds = self.images()
        weights = torch.log_softmax(self.log_weights, 0) - math.log(self.n_images)
        upper = (v > 0).to(odds.dtype) @ odds.flatten(0, 1).T
        return upper.unflatten(-1, odds.shape[:2]) - softplus(odds).sum(-1) + weights[:, None]

    def log_prob(self, v: Tensor) -> Tensor:
        rows = v.reshape(-1, self.n_visible).split(self.rows_at_once)
        return torch.cat([self.log_joint(some).flatten(1).logsumexp(-1) for some in rows]).reshape(v.shape[:-1])

    def responsibilities(self, v: Tensor) -> Tensor:
        """The posterior q(k | v), its images added up; (*batch, n_visible) -> (*batch, n_components)."""
        rows = v.reshape(-1, self.n_visible).split(self.rows_at_once)
        each = torch.cat([self.log_joint(some).logsumexp(-1).softmax(-1) for some in rows])
        return each.reshape(*v.shape[:-1], self.n_components)

    @property
    def rows_at_once(self) -> int:
        """How many configurations to take at a time, so that a table of them and all images stays small."""
        return max(1, _CHUNK // max(self.n_components * self.n_images, self.n_visible))

    @torch.no_grad()
    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """n configurations: a component, one of its images, then every site; -> (n, n_visible).

        Raises ValueError for n < 1, or where model and generator are on different devices.
        """
        self.check_draws(n, rng)
        component = torch.multinomial(self.log_weights.softmax(0), n, replacement=True, generator=rng)
        move = torch.randint(len(self._moves), (n,), generator=rng, device=rng.device)
        odds = self.log_odds[component].gather(-1, self._moves[move])
        if self.even:
            odds = torch.where(uniforms((n, 1), rng) < 0.5, odds, -odds)
        return self.unit.draw(odds, uniforms((n, self.n_visible), rng))


def _translations(shape: Sequence[int] | None, n_visible: int) -> Tensor:
    """The site of the component that each site sees, of every translation; (n_translations, n_visible)."""
    if shape is None:
        return torch.arange(n_visible)[None]
    if math.prod(shape) != n_visible:
        raise ValueError(f"a lattice of shape {tuple(shape)} has not {n_visible} sites")
    return torch.from_numpy(Displacements(Lattice(shape)).table)
