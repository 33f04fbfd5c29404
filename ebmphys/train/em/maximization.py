"""The M-step of EM in closed form, from the gradient of the log posterior alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.generators import BernoulliMixture
from ebmphys.objectives import Draws
from ebmphys.train.em.posterior import MixturePosterior, as_mixture

_EMPTY = 1e-6  # of a configuration: a component that holds less has no say about its sites
_LARGEST = 15.0  # log-odds: float32 cannot tell probabilities that are nearer to 0 or 1


class ExpectationMaximization:
    """Turns gradient descent at rate 1 into EM (Dempster, Laird and Rubin 1977) for a ``MixturePosterior``.

    In log-odds the gradient of the log-likelihood is sum_n r_nk (b_ni - p_ki), and in log-weights sum_n (r_nk - pi_k),
    with responsibilities r and b = 0, 1: so it tells sum_n r_nk and sum_n r_nk b_ni, which is all that the M-step needs
    (Xu and Jordan 1996), whatever symmetries tie the parameters. By default there is one M-step an epoch, on the sums
    over all batches: exact EM, the log posterior never falls. ``every_batch`` makes one after each batch instead.
    ``decay`` kappa > 0 mixes the sums of step t into a running average with weight (t + 2)^-kappa, which every_batch
    needs (stepwise EM; Cappe and Moulines 2009) and sampled responsibilities converge with (Delyon, Lavielle and
    Moulines 1999).
    For ``Training(optimizer="sgd", learning_rate=1, schedule="constant", averaging=0)``. A component without data keeps
    its sites, and a weight of 10^-6 configurations; log-odds stay within +-15.
    Raises ValueError for a decay outside [0, 1], every_batch without one, and more data than the posterior was told of.
    """

    def __init__(self, posterior: MixturePosterior, *, every_batch: bool = False, decay: float = 0.0) -> None:
        if not 0 <= decay <= 1:
            raise ValueError(f"decay must be between 0 and 1, got {decay}")
        if every_batch and not decay:
            raise ValueError("an M-step every batch needs a decay, such as 0.7: one batch does not hold the data")
        self.posterior, self.every_batch, self.decay = posterior, every_batch, decay
        self.steps = self.seen = 0
        self.slopes: list[Tensor] = []
        self.counts: list[Tensor] = []

    @torch.no_grad()
    def before_step(self, model: nn.Module, v: Tensor, draws: Draws | None) -> None:
        mixture = as_mixture(model)
        parameters = (mixture.log_weights, mixture.log_odds)
        self._add(parameters, len(v))
        ready = self.every_batch or self.seen == self.posterior.n_data
        fresh = self._maximised(mixture) if ready else parameters
        for p, new in zip(parameters, fresh, strict=True):
            p.grad = p.detach() - new.to(p)

    def after_step(self, model: nn.Module) -> None:
        pass

    def _add(self, parameters: tuple[Tensor, Tensor], rows: int) -> None:
        if self.seen + rows > self.posterior.n_data:
            raise ValueError(f"there are more data than the {self.posterior.n_data} that the posterior was told of")
        if not self.seen:
            self.slopes = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
        self.seen += rows
        for total, p in zip(self.slopes, parameters, strict=True):
            if p.grad is not None:
                total += rows * p.grad

    def _maximised(self, model: BernoulliMixture) -> tuple[Tensor, Tensor]:
        """New log-weights and log-odds: (n_components,), (n_components, n_visible)."""
        counts, uppers = self._mixed(model, [total / self.seen for total in self.slopes])
        self.slopes, self.seen = [], 0
        own = counts - self.posterior.prior.weights + 2 * self.posterior.prior.sites
        odds = (uppers / own[:, None]).logit(eps=1e-15).clamp(-_LARGEST, _LARGEST)
        held = (own < _EMPTY)[:, None]
        odds = torch.where(held, model.log_odds.double(), odds)
        return torch.log_softmax(counts.clamp(min=_EMPTY).log(), 0), odds

    def _mixed(self, model: BernoulliMixture, slopes: list[Tensor]) -> list[Tensor]:
        """Configurations of each component, and those with the upper value at each site, pseudo-counts included."""
        fresh = self._counts(model, slopes)
        if not self.decay:
            return fresh
        before = self.counts or self._counts(model, [torch.zeros_like(slope) for slope in slopes])
        weight = (self.steps + 2.0) ** -self.decay
        self.counts = [torch.lerp(old, new, weight) for old, new in zip(before, fresh, strict=True)]
        self.steps += 1
        return self.counts

    def _counts(self, model: BernoulliMixture, slopes: list[Tensor]) -> list[Tensor]:
        """The counts that explain the gradient of the posterior; those of the model itself where it is zero."""
        n, prior = self.posterior.n_data, self.posterior.prior
        weights = model.log_weights.double().softmax(0)
        counts = (n + prior.weights * len(weights)) * weights - n * slopes[0]
        own = counts - prior.weights + 2 * prior.sites
        return [counts, own[:, None] * model.log_odds.double().sigmoid() - n * slopes[1]]

    def state_dict(self) -> dict[str, Any]:
        how = {"every_batch": self.every_batch, "decay": self.decay}
        return how | {"steps": self.steps, "seen": self.seen, "slopes": self.slopes, "counts": self.counts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name in ("every_batch", "decay"):
            if state[name] != getattr(self, name):
                raise ValueError(f"cannot resume: {name} was {state[name]!r} and is now {getattr(self, name)!r}")
        self.steps, self.seen = state["steps"], state["seen"]
        self.slopes = [total.clone() for total in state["slopes"]]
        self.counts = [total.clone() for total in state["counts"]]
