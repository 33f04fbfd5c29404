"""Persistent chains driven by fast weights, which push them out of where they have been."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.objectives.base import Draws, MakeSampler
from ebmphys.objectives.persistent import Persistent
from ebmphys.samplers import BlockGibbs, Chains


class FastPersistent:
    """``Persistent`` chains of the energy with fast weights added, E of theta + theta_f (Tieleman and Hinton 2009).

    After each update theta_f <- ``decay`` theta_f - ``rate`` gradient: at a rate that does not fall with the learning
    rate, energies rise where the chains are, so they move on even where the model would hold them. The draws are not
    of the model's law but of one nearby; at rate 0 this is ``Persistent``.
    Raises ValueError for k or n_chains < 1, a rate that is negative or a decay outside [0, 1).
    """

    warning = ""

    def __init__(
        self,
        k: int,
        rng: torch.Generator,
        n_chains: int = 500,
        flips: bool = True,
        rate: float = 0.02,
        decay: float = 0.95,
        make_sampler: MakeSampler = BlockGibbs,
    ) -> None:
        if not (rate >= 0 and 0 <= decay < 1):
            raise ValueError(f"fast weights need rate >= 0 and 0 <= decay < 1, got {rate} and {decay}")
        self.slow = Persistent(k, rng, n_chains, flips, make_sampler)
        self.rate, self.decay = rate, decay
        self.fast: dict[str, Tensor] = {}

    @property
    def chains(self) -> Chains | None:
        return self.slow.chains

    @property
    def make_sampler(self) -> MakeSampler:
        """What steps the chains of a model."""
        return self.slow.make_sampler

    def draw(self, model: EnergyModel, v: Tensor) -> Draws:
        with self._added(model):
            return self.slow.draw(model, v)

    def follow(self, model: EnergyModel, loss: Tensor) -> None:
        learning = _learning(model)
        # The graph is the caller's to go back through once more.
        gradients = torch.autograd.grad(loss, list(learning.values()), retain_graph=True)
        for (name, parameter), gradient in zip(learning.items(), gradients, strict=True):
            fast = self.fast.get(name)
            fast = torch.zeros_like(parameter) if fast is None else fast
            self.fast[name] = (self.decay * fast - self.rate * gradient).detach()

    @contextmanager
    def _added(self, model: EnergyModel) -> Iterator[None]:
        learning = _learning(model)
        kept = {name: p.detach().clone() for name, p in learning.items()}
        try:
            with torch.no_grad():
                for name, fast in self.fast.items():
                    learning[name].add_(fast)
            yield
        finally:
            with torch.no_grad():  # what was kept, to the bit: subtracting again would round
                for name, parameter in learning.items():
                    parameter.copy_(kept[name])

    def state_dict(self) -> dict[str, Any]:
        return self.slow.state_dict() | {"fast": {name: fast.clone() for name, fast in self.fast.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.slow.load_state_dict(state)
        self.fast = {name: fast.to(self.slow.rng.device, copy=True) for name, fast in state["fast"].items()}


def _learning(model: EnergyModel) -> dict[str, Tensor]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}
