"""How far the model's law is from the data's: divergences, likelihoods and their bounds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ebmphys.energies import EnergyModel
from ebmphys.generators import LatentVariableModel
from ebmphys.likelihood import Bracket, ais, bracket, importance_bound, kl_to_exact, log_likelihood, log_partition
from ebmphys.objectives import ELBO, Objective
from ebmphys.rng import generator
from ebmphys.train.loop import Monitor
from ebmphys.train.monitors.once import Once
from ebmphys.train.monitors.persistent import copied_chains
from ebmphys.train.monitors.reach import affordable, enumerable

_ROWS = 1024  # at a time, so that the weights of a bound stay small
_STEPS, _CHAINS = 500, 200  # of a bracket, each way
_ALONE = 2000  # steps without chains to melt


def exact_kl(target: EnergyModel, beta: float) -> Monitor:
    """KL(p || q) in nats from the exact law p ~ exp(-beta E) of a target that can be enumerated."""
    return lambda model, objective: kl_to_exact(target, beta, model)


def mean_log_likelihood(v: Tensor, seed: int = 0) -> Monitor:
    """<log p(v)> in nats per configuration of data that are not trained on.

    log Z exactly where a side has up to 16 units; by a short annealed importance sampling where not, then on average
    too low, and the likelihood too high, by an amount of the order of its error. Its 2000 steps are fewer, down to 50,
    where a sweep has more than four blocks (``affordable``).
    """

    def monitor(model: nn.Module, objective: Objective) -> float:
        if not isinstance(model, EnergyModel):
            return float(log_likelihood(model, v).mean())
        if enumerable(model):
            log_z = log_partition(model)
        else:
            rng = generator(seed, "monitor", "ais", device=model.device)
            steps = affordable(_ALONE, len(model.blocks))
            log_z = ais(model, rng=rng, steps=steps, chains=_CHAINS).value
        return float(log_likelihood(model, v, log_partition=log_z).mean())

    return monitor


def mean_elbo(v: Tensor, draws: int = 8, seed: int = 0) -> Monitor:
    """The evidence lower bound in nats per configuration of data that are not trained on, the noise always the same."""

    def monitor(model: nn.Module, objective: Objective) -> float:
        return -float(ELBO(generator(seed, "monitor", "elbo", device=v.device), draws)(model, v))

    return monitor


def mean_importance_bound(v: Tensor, draws: int = 64, seed: int = 0) -> Monitor:
    """The importance-weighted bound of log q(v) (IWAE), tighter than the ELBO; nats per configuration."""

    def monitor(model: nn.Module, objective: Objective) -> float:
        if not isinstance(model, LatentVariableModel):
            raise ValueError(f"{type(model).__name__} has no importance-weighted bound")
        rng = generator(seed, "monitor", "importance", device=v.device)
        return float(torch.cat([importance_bound(model, rows, draws, rng) for rows in v.split(_ROWS)]).mean())

    return monitor


def free_energy_gap(train: Tensor, validation: Tensor) -> Monitor:
    """<F>_validation - <F>_train: it grows from zero as a model overfits (Hinton 2012); log Z drops out."""

    def monitor(model: nn.Module, objective: Objective) -> float:
        if not isinstance(model, EnergyModel):
            raise ValueError(f"{type(model).__name__} has no free energy")
        return float(model.free_energy(validation).mean() - model.free_energy(train).mean())

    return monitor


class BracketedLikelihood:
    """<log p(v)> of data that are not trained on, with log Z bracketed from the persistent chains: five monitors.

    ``value`` from Bennett's combination of both ends, ``low`` and ``high`` from log Z annealed down from the chains and
    up from independent units, on average above and below it, ``low_error`` and ``high_error`` the standard errors of
    that log Z. Computed once for one set of parameters, in 500 steps each way; where a sweep has more than four blocks,
    as on a complete graph, in fewer, down to 50 (``affordable``): the ends are then further apart, and say so.
    """

    def __init__(self, v: Tensor, seed: int = 0) -> None:
        self.v, self.seed, self._bracket = v, seed, Once(self._measure)

    def value(self, model: nn.Module, objective: Objective) -> float:
        return self._at(model, self._bracket(model, objective).between.value)

    def low(self, model: nn.Module, objective: Objective) -> float:
        return self._at(model, self._bracket(model, objective).upper.value)

    def high(self, model: nn.Module, objective: Objective) -> float:
        return self._at(model, self._bracket(model, objective).lower.value)

    def low_error(self, model: nn.Module, objective: Objective) -> float:
        return self._bracket(model, objective).upper.error

    def high_error(self, model: nn.Module, objective: Objective) -> float:
        return self._bracket(model, objective).lower.error

    def _at(self, model: nn.Module, log_z: float) -> float:
        return float(log_likelihood(model, self.v, log_partition=log_z).mean())

    def _measure(self, model: EnergyModel, objective: Objective) -> Bracket:
        rng = generator(self.seed, "monitor", "bracket", device=model.device)
        _, copies = copied_chains(model, objective, _CHAINS, rng)
        return bracket(model, copies.x, rng=rng, steps=affordable(_STEPS, len(model.blocks)))


def kl_on_data(target: EnergyModel, beta: float, v: Tensor, likelihood: Monitor) -> Monitor:
    """<log p> - <log q> in nats over data v drawn from p ~ exp(-beta E): an estimate of KL(p || q) without bias, as
    long as v was not trained on and the likelihood is right; too high by as much as a bound is too low.

    Raises ValueError where the target's log Z is not known exactly.
    """
    lower, upper = target.visible_unit.values
    entropy = float(log_likelihood(target, torch.where(v > 0, upper, lower), beta).mean())  # spins and bits alike
    return lambda model, objective: entropy - likelihood(model, objective)
