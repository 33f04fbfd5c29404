"""Chains of a deep belief net: its top RBM is sampled, and what is visible is generated from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.generators import DeepBeliefNet
from ebmphys.samplers.base import Chains, Sampler, State
from ebmphys.samplers.gibbs import BlockGibbs


@dataclass
class DownwardChains(Chains):
    """Visible configurations x (*batch, n_visible), and the chains of the top RBM that they came from."""

    top: Chains

    def reorder(self, source: Tensor) -> None:
        super().reorder(source)
        self.top.reorder(source)

    def state(self) -> State:
        return super().state() | {"top": self.top.state()["x"]}

    def restore(self, state: State) -> None:
        super().restore(state)
        self.top.restore({"x": state["top"], "rng": state["rng"]})


@dataclass(frozen=True)
class Downward:
    """Draws of a deep belief net: one step moves the top RBM by one step and generates the visible layer anew.

    ``make_sampler(rbm)`` gives the sampler of the top, block Gibbs unless told; ``Enumerated`` makes draws independent
    and exact where the top is small. A net has no temperature: ValueError for any beta other than 1.
    """

    net: DeepBeliefNet
    make_sampler: Callable[[EnergyModel], Sampler] = BlockGibbs

    @property
    def model(self) -> EnergyModel:
        """The top RBM."""
        return self.net.top

    def init(self, *batch: int, beta: Tensor | float = 1.0, rng: torch.Generator) -> DownwardChains:
        if not bool((torch.as_tensor(beta) == 1).all()):
            raise ValueError("a deep belief net has no temperature: beta must be 1")
        top = self.make_sampler(self.net.top).init(*batch, rng=rng)
        return DownwardChains(self._visible(top), top.beta, rng, top)

    @torch.no_grad()
    def step(self, chains: DownwardChains) -> dict[str, Tensor]:
        happened = self.make_sampler(self.net.top).step(chains.top)
        chains.x = self._visible(chains.top)
        return happened

    def _visible(self, top: Chains) -> Tensor:
        return self.net.downwards(top.x[..., : self.net.top.n_visible], top.rng)[0]
