"""Objectives: a model and a batch of data -> one scalar whose autograd gradient is the training gradient.

An energy's likelihood has an intractable log Z, but its gradient needs only draws of the model:
d/dtheta <-log p(v)>_data = <dF/dtheta>_data - <dF/dtheta>_model. ``TwoPhase`` is that difference, and where its
draws come from is a *negative phase*, of which there may be any number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ebmphys.energies import EnergyModel
from ebmphys.samplers import BlockGibbs, Chains, Sampler, can_flip, offer_flips

Objective = Callable[[nn.Module, Tensor], Tensor]
MakeSampler = Callable[[EnergyModel], Sampler]


@runtime_checkable
class Stateful(Protocol):
    """What carries something from one update to the next, and so belongs in a checkpoint."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain data from which ``load_state_dict`` continues bit for bit."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class NegativePhase(Stateful, Protocol):
    """Where draws of the model come from while it learns."""

    def draw(self, model: EnergyModel, v: Tensor) -> Tensor:
        """Visible configurations of the model, without gradient, v being the batch of data: -> (n, n_visible)."""
        ...


class FromData:
    """k steps of a sampler from the data themselves: CD-k (Hinton 2002), biased but never off the data for long.

    ``make_sampler(model)`` gives the sampler, block Gibbs unless told. Raises ValueError for k < 1.
    """

    def __init__(self, k: int, rng: torch.Generator, make_sampler: MakeSampler = BlockGibbs) -> None:
        self.k, self.rng, self.make_sampler = _at_least_one("k", k), rng, make_sampler

    @torch.no_grad()
    def draw(self, model: EnergyModel, v: Tensor) -> Tensor:
        sampler = self.make_sampler(model)
        chains = sampler.init(len(v), rng=self.rng)
        x = chains.x
        x[:, : model.n_visible] = v
        chains.x = x  # packed chains give out a copy
        for _ in range(self.k):
            sampler.step(chains)
        return chains.x[:, : model.n_visible]

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        _set_rng(self.rng, state["rng"])


class Persistent:
    """k steps an update of ``n_chains`` chains that live on: PCD-k (Younes 1989; Tieleman 2008).

    The chains start at the first batch, so that both signs of the magnetization are there if the data have them,
    and follow the model as it moves: they are close to its law while the updates are small against their mixing.
    With ``flips`` each chain is offered its global flip before the steps (``offer_flips``): local steps do not
    cross between the signs of an ordered phase, and a model whose chains cannot cross drifts to one sign unnoticed.
    ``chains`` is None before the first update. Raises ValueError for k or n_chains < 1.
    """

    def __init__(
        self,
        k: int,
        rng: torch.Generator,
        n_chains: int = 500,
        flips: bool = True,
        make_sampler: MakeSampler = BlockGibbs,
    ) -> None:
        self.k, self.n_chains = _at_least_one("k", k), _at_least_one("n_chains", n_chains)
        self.rng, self.flips, self.make_sampler = rng, flips, make_sampler
        self.chains: Chains | None = None

    @torch.no_grad()
    def draw(self, model: EnergyModel, v: Tensor) -> Tensor:
        sampler = self.make_sampler(model)
        if self.chains is None:
            self.chains = sampler.init(self.n_chains, rng=self.rng)
            rows = torch.arange(self.n_chains, device=v.device) % len(v)
            x = self.chains.x
            x[:, : model.n_visible] = v[rows]
            self.chains.x = x
        if self.flips and can_flip(model):
            offer_flips(model, self.chains)
        for _ in range(self.k):
            sampler.step(self.chains)
        # A sampler that follows gradients may leave its graph on the chains, to grow with every update.
        self.chains.x = self.chains.x.detach()
        return self.chains.x[:, : model.n_visible]

    def state_dict(self) -> dict[str, Any]:
        chains = {} if self.chains is None else {"x": self.chains.x.clone(), "beta": self.chains.beta.clone()}
        return {"rng": self.rng.get_state(), "chains": chains}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        chains = state["chains"]
        if chains and len(chains["x"]) != self.n_chains:
            raise ValueError(f"{len(chains['x'])} chains are stored, the negative phase has n_chains = {self.n_chains}")
        _set_rng(self.rng, state["rng"])
        place = self.rng.device
        x, beta = (chains[name].to(place, copy=True) for name in ("x", "beta")) if chains else (None, None)
        self.chains = None if x is None or beta is None else Chains(x, beta, self.rng)


class TwoPhase:
    """mean F(v) over data - mean F(v) over draws of the model, hidden units summed out exactly in both.

    Its gradient is that of the mean negative log-likelihood in nats per configuration (Ackley, Hinton and Sejnowski
    1985), up to the error of the draws; its value says nothing about how far learning has come.
    (batch, n_visible) -> scalar.
    """

    def __init__(self, negative: NegativePhase) -> None:
        self.negative = negative

    def __call__(self, model: nn.Module, v: Tensor) -> Tensor:
        if not isinstance(model, EnergyModel):
            raise ValueError(f"this objective is for energies, {type(model).__name__} is none: use ELBO for a VAE")
        draws = self.negative.draw(model, v)
        # One call for both: at the sizes of lattices the calls cost more than the numbers.
        energies = model.free_energy(torch.cat([v, draws]))
        return energies[: len(v)].mean() - energies[len(v) :].mean()

    def state_dict(self) -> dict[str, Any]:
        return self.negative.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.negative.load_state_dict(state)


class ContrastiveDivergence(TwoPhase):
    """``TwoPhase`` with k Gibbs steps of persistent chains (PCD-k), or, not ``persistent``, from the data (CD-k).

    ``n_chains`` and ``flips`` are those of ``Persistent``.
    """

    def __init__(
        self, k: int, rng: torch.Generator, *, persistent: bool = True, n_chains: int = 500, flips: bool = True
    ) -> None:
        super().__init__(Persistent(k, rng, n_chains, flips) if persistent else FromData(k, rng))


class Bounded(Protocol):
    """A model with a lower bound of its log-likelihood that takes its noise from outside."""

    def noise(self, n: int, rng: torch.Generator) -> Tensor: ...

    def elbo(self, v: Tensor, noise: Tensor) -> Tensor: ...


class ELBO:
    """Minus the mean evidence lower bound in nats per configuration, ``draws`` of the latents each.

    Summed over sites, averaged over the batch and the draws only. (batch, n_visible) -> scalar.
    Kingma and Welling (2014). Raises ValueError for draws < 1, or a model without ``elbo``.
    """

    def __init__(self, rng: torch.Generator, draws: int = 1) -> None:
        self.rng, self.draws = rng, _at_least_one("draws", draws)

    def __call__(self, model: nn.Module, v: Tensor) -> Tensor:
        bounded: Bounded = _with_elbo(model)
        noise = bounded.noise(self.draws * len(v), self.rng)
        return -bounded.elbo(v, noise.reshape(self.draws, len(v), *noise.shape[1:])).mean()

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        _set_rng(self.rng, state["rng"])


def _with_elbo(model: Any) -> Bounded:
    if not (hasattr(model, "elbo") and hasattr(model, "noise")):
        raise ValueError(f"{type(model).__name__} has no ELBO: use ContrastiveDivergence for an energy")
    bounded: Bounded = model
    return bounded


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, got {value}")
    return value


def _set_rng(rng: torch.Generator, state: Tensor) -> None:
    try:
        rng.set_state(state)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"the stored state is not one of a generator on {rng.device.type}") from error
