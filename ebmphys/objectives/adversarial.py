"""The objective of adversarial networks: a critic that learns beside the generator how far its draws are from data."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.generators.gan import GAN
from ebmphys.objectives.base import at_least_one, set_rng


class Adversarial:
    """Minus the critic's mean on fresh draws of a GAN, after ``critic_steps`` updates of the critic.

    The critic D, any network (batch, n_visible) -> (batch, 1) of spins -1/+1, maximises
    <D>_data - <D>_draws - penalty <(|grad D| - 1)^2>, the last on lines between the two (Gulrajani et al. 2017). The
    penalty holds the slope of D near 1, and the difference is then near the Wasserstein distance, in which the
    generator descends (Arjovsky, Chintala and Bottou 2017). Each of its updates (Adam, beta_1 = 0, beta_2 = 0.9) sees a
    part of the batch of its own. (batch, n_visible) -> scalar, of which only the gradient means anything; ``gap`` is
    <D>_data - <D>_draws at the last of the critic's updates.
    The critic, its optimizer and the generator of random numbers are what a resumed training continues with.
    Raises ValueError for models that are no GAN, batches too small for the critic's updates, and settings that are not
    positive.
    """

    def __init__(
        self,
        critic: nn.Module,
        rng: torch.Generator,
        *,
        critic_steps: int = 5,
        penalty: float = 1.0,
        learning_rate: float = 1e-3,
    ) -> None:
        if not (penalty > 0 and learning_rate > 0):
            raise ValueError(f"penalty and learning_rate must be positive, got {penalty} and {learning_rate}")
        self.critic, self.rng, self.penalty = critic, rng, penalty
        self.critic_steps = at_least_one("critic_steps", critic_steps)
        self.optimizer = torch.optim.Adam(critic.parameters(), learning_rate, betas=(0.0, 0.9))
        self.gap = float("nan")

    def __call__(self, model: nn.Module, v: Tensor) -> Tensor:
        if not isinstance(model, GAN):
            raise ValueError(f"the adversarial objective is of GANs, {type(model).__name__} is none")
        if len(v) < self.critic_steps:
            raise ValueError(f"a batch of {len(v)} is too small for {self.critic_steps} updates of the critic")
        spins = torch.where(v > 0, 1.0, -1.0).to(next(model.parameters()).dtype)
        self.critic.requires_grad_(True)
        for real in spins.tensor_split(self.critic_steps):
            with torch.no_grad():
                fake = model.fakes(len(real), self.rng)
            self._update(real, fake)
        self.critic.requires_grad_(False)  # the generator's gradient goes through it, not to it
        score: Tensor = self.critic(model.fakes(len(v), self.rng))
        return -score.mean()

    def _update(self, real: Tensor, fake: Tensor) -> None:
        gap = self.critic(real).mean() - self.critic(fake).mean()
        loss = self.penalty * self.steepness(real, fake) - gap
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.gap = float(gap.detach())

    def steepness(self, real: Tensor, fake: Tensor) -> Tensor:
        """<(|grad D| - 1)^2> at a random point between each pair; (n, n_visible), (n, n_visible) -> scalar."""
        share = torch.rand(len(real), 1, generator=self.rng, device=self.rng.device, dtype=real.dtype)
        between = (share * real + (1 - share) * fake).requires_grad_(True)
        slope = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)[0]
        # The root of a sum of squares that are all zero has no gradient.
        return ((slope.square().sum(-1) + 1e-12).sqrt() - 1).square().mean()

    def state_dict(self) -> dict[str, Any]:
        return {
            "critic": {name: tensor.detach().clone() for name, tensor in self.critic.state_dict().items()},
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "rng": self.rng.get_state(),
            "gap": self.gap,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.critic.load_state_dict(state["critic"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        set_rng(self.rng, state["rng"])
        self.gap = state["gap"]
