"""The contract of every energy: units on sites, sites in blocks, an energy, and the conditional of each block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.units import Unit


class EnergyModel(nn.Module, ABC):
    """A probability law p(x) = exp(-beta E(x)) / Z on n_sites sites; beta is the sampler's, never in here.

    ``blocks`` partitions the sites into named sets, in sweep order, inside which no site acts on another,
    so that each can be updated at once; ``units`` says what the sites of a block are. The first ``n_visible``
    sites are what is observed; any others are hidden, and no block holds sites of both kinds.
    """

    n_sites: int
    n_visible: int

    @property
    @abstractmethod
    def blocks(self) -> Mapping[str, Tensor | slice]:
        """Site indices of each independent set, in sweep order."""

    @property
    @abstractmethod
    def units(self) -> Mapping[str, Unit]:
        """The unit of each block's sites."""

    @property
    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Plain data (JSON) with the key ``model``; ``from_config`` makes the same model, parameters apart."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: dict[str, Any]) -> EnergyModel:
        """The model that ``config`` describes."""

    @abstractmethod
    def energy(self, x: Tensor) -> Tensor:
        """E(x), with no beta inside; (*batch, n_sites) -> (*batch,)."""

    @abstractmethod
    def conditional(self, x: Tensor, block: str) -> Tensor:
        """Natural parameters at beta = 1 of a block's units given all other sites.

        (*batch, n_sites) -> (*batch, block size[, n_parameters of the unit])
        """

    @abstractmethod
    def free_energy(self, v: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """F_beta(v) with the hidden sites summed out, p(v) = exp(-beta F_beta(v)) / Z; the energy where none are.

        (*batch, n_visible) -> (*batch,). Raises ValueError where no closed form is known (``sums_out_hidden``).
        """

    @property
    def sums_out_hidden(self) -> bool:
        """Whether ``free_energy`` is a closed form: not where hidden units act on each other, as in deep machines."""
        return True

    @property
    def even(self) -> bool:
        """Whether E(-x) = E(x) by construction, all sites turned over, hidden ones too; False where it is not known."""
        return False

    @property
    def hidden_blocks(self) -> tuple[str, ...]:
        """The names of the blocks of hidden sites, in sweep order."""
        return tuple(name for name in self.blocks if _first_site(self, name) >= self.n_visible)

    @property
    def visible_blocks(self) -> tuple[str, ...]:
        """The names of the blocks of visible sites, in sweep order."""
        return tuple(name for name in self.blocks if _first_site(self, name) < self.n_visible)

    @property
    def device(self) -> torch.device:
        """Where the model's numbers are."""
        return next(chain(self.parameters(), self.buffers())).device

    @property
    def visible_unit(self) -> Unit:
        """The unit that every visible site shares: that of site 0."""
        return self.units[self.visible_blocks[0]]


def _first_site(model: EnergyModel, block: str) -> int:
    sites = model.blocks[block]
    return int(sites.start or 0) if isinstance(sites, slice) else int(sites[0])
