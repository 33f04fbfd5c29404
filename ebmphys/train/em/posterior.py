"""What EM ascends: the log-likelihood of a mixture and the log of its conjugate prior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from ebmphys.generators import BernoulliMixture
from ebmphys.objectives.base import set_rng


@dataclass(frozen=True)
class PseudoCounts:
    """The prior as configurations seen before any data: ``weights`` of each component, and in each component ``sites``
    of each of the two values at every site.

    Dirichlet(1 + weights) over the weights and Beta(1 + sites, 1 + sites) over the probability of a site; zero is a
    flat prior, with which the MAP estimate is the maximum of the likelihood. Raises ValueError below zero.
    """

    weights: float = 0.0
    sites: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.weights < float("inf") and 0 <= self.sites < float("inf")):
            raise ValueError(f"pseudo-counts are finite and not negative, got {self.weights} and {self.sites}")

    def log_density(self, model: BernoulliMixture) -> Tensor:
        """log prior of the weights and the probabilities (not of their log-odds), without its norm; -> scalar."""
        sites = logsigmoid(model.log_odds).sum() + logsigmoid(-model.log_odds).sum()
        return self.weights * torch.log_softmax(model.log_weights, 0).sum() + self.sites * sites


class MixturePosterior:
    """-<log q(v)> - log prior / ``n_data``: minus the log posterior a configuration, in nats, up to a constant.

    With ``samples`` S > 0 the gradient is that of the S components (and images) drawn for each configuration from
    their posterior q(k | v), in place of its exact average: Monte Carlo EM (Wei and Tanner 1990), stochastic EM for
    S = 1 (Celeux and Diebolt 1985); the value stays exact. (batch, n_visible) -> scalar.
    Raises ValueError for n_data < 1, samples below 0 or without a generator, and models other than a BernoulliMixture.
    """

    def __init__(
        self,
        n_data: int,
        prior: PseudoCounts | None = None,
        samples: int = 0,
        rng: torch.Generator | None = None,
    ) -> None:
        if n_data < 1 or samples < 0:
            raise ValueError(f"a posterior needs 1 or more data and 0 or more samples, got {n_data} and {samples}")
        if samples and rng is None:
            raise ValueError("sampled responsibilities need a generator")
        self.n_data, self.samples, self.rng = n_data, samples, rng
        self.prior = PseudoCounts() if prior is None else prior

    def __call__(self, model: nn.Module, v: Tensor) -> Tensor:
        mixture = as_mixture(model)
        log_q = self._sampled(mixture, v) if self.samples else mixture.log_prob(v)
        return -log_q.mean() - self.prior.log_density(mixture) / self.n_data

    def _sampled(self, model: BernoulliMixture, v: Tensor) -> Tensor:
        """log q(v) whose gradient is that of log q(v, z) at drawn z, its own on average (Fisher's identity)."""
        joint = model.log_joint(v).flatten(1)
        drawn = torch.multinomial(joint.detach().softmax(-1), self.samples, replacement=True, generator=self.rng)
        complete = joint.gather(-1, drawn).mean(-1)
        return complete + (joint.logsumexp(-1) - complete).detach()

    def state_dict(self) -> dict[str, Any]:
        rng = {} if self.rng is None else {"rng": self.rng.get_state()}
        return {"n_data": self.n_data, "samples": self.samples, **asdict(self.prior), **rng}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, mine in self.state_dict().items():
            if name != "rng" and state.get(name) != mine:
                raise ValueError(f"cannot resume: {name} was {state.get(name)!r} and is now {mine!r}")
        if self.rng is not None:
            set_rng(self.rng, state["rng"])


def as_mixture(model: nn.Module) -> BernoulliMixture:
    """The model; raises ValueError where it is no mixture."""
    if not isinstance(model, BernoulliMixture):
        raise ValueError(f"expectation-maximization fits a BernoulliMixture, {type(model).__name__} is none")
    return model
