"""log Z by annealed importance sampling (Neal 2001; Salakhutdinov and Murray 2008)."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.exact.thermodynamics import check_beta
from ebmphys.rng import uniforms

_LEAST_SHARE = 0.1  # of the chains; for log-normal weights it is reached where their log has variance 2.3


@dataclass(frozen=True)
class LogPartition:
    """An estimate of log Z in nats, its standard error, and how many of the weighted chains count.

    ``warning`` says in words why the number cannot be trusted; it is empty where nothing speaks against it.
    """

    value: float
    error: float
    effective_sample_size: float
    chains: int
    warning: str = ""


@torch.no_grad()
def ais(
    model: EnergyModel,
    beta: float = 1.0,
    *,
    rng: torch.Generator,
    steps: int = 1000,
    chains: int = 500,
    base: Tensor | None = None,
) -> LogPartition:
    """log Z of exp(-beta E) from chains annealed in ``steps`` heat-bath sweeps from independent visible units.

    On the way p_t(x) ~ exp(-t beta E(x) - (1 - t) E_0(x)), t = 0..1, with E_0 that of visible units in the local
    fields ``base`` (n_visible,), zero unless given; the log-odds of the data's means shorten the way. Hidden units
    are summed out of the weights. The mean weight is unbiased for Z, so its logarithm is on average too low, and a mode
    that no chain met leaves no trace in the error: more steps help against both, more chains hardly.
    Raises ValueError for counts or a base that do not fit, for hidden units that are not discrete, and where model and
    generator are on different devices.
    """
    if steps < 1 or chains < 2:
        raise ValueError(f"annealing needs 1 or more steps and 2 or more chains, got {steps} and {chains}")
    if model.device.type != rng.device.type:
        raise ValueError(
            f"the model is on {model.device.type} and the generator on {rng.device.type}: make both on one"
        )
    path = _Path(model, check_beta(beta), base)
    x = path.start(chains, rng)
    log_weights = torch.full((chains,), path.log_base, dtype=torch.float64, device=x.device)
    for step in range(steps):
        now, then = step / steps, (step + 1) / steps
        log_weights += path.log_marginal(x, then) - path.log_marginal(x, now)
        if step + 1 < steps:
            path.sweep(x, then, rng)
    return _estimate(log_weights)


class _Path:
    """The laws from independent visible units (t = 0) to the model (t = 1), in float64: weights add up many
    small differences of large numbers."""

    def __init__(self, model: EnergyModel, beta: float, base: Tensor | None) -> None:
        self.model, self.beta = deepcopy(model).double(), beta
        n = model.n_visible
        self.fields = torch.zeros(model.n_sites, dtype=torch.float64, device=model.device)
        if base is not None:
            if base.shape != (n,):
                raise ValueError(f"base needs one field a visible site ({n}), got shape {tuple(base.shape)}")
            self.fields[:n] = base
        visible = model.visible_unit
        self.log_hidden = _log_states(model)
        self.log_base = float(visible.log_partition(visible.natural(self.fields[:n])).sum()) + self.log_hidden

    def start(self, chains: int, rng: torch.Generator) -> Tensor:
        x = torch.zeros(chains, self.model.n_sites, dtype=torch.float64, device=self.model.device)
        for name, sites in self.model.blocks.items():
            eta = self.model.units[name].natural(self.fields[sites].expand(x[:, sites].shape))
            x[:, sites] = self.model.units[name].draw(eta, uniforms(x[:, sites].shape, rng))
        return x

    def log_marginal(self, x: Tensor, t: float) -> Tensor:
        """log of the unnormalised p_t(v), hidden units summed out; (chains, n_sites) -> (chains,)."""
        v = x[:, : self.model.n_visible]
        heat = t * self.beta
        # At zero heat F_beta diverges while beta F_beta does not: every hidden state counts once.
        warm = -heat * self.model.free_energy(v, heat) if heat > 0 else self.log_hidden
        cold = v @ self.fields[: self.model.n_visible] - self.model.visible_unit.energy(v).sum(-1)
        return warm + (1 - t) * cold

    def sweep(self, x: Tensor, t: float, rng: torch.Generator) -> None:
        for name, sites in self.model.blocks.items():
            unit, base = self.model.units[name], self.fields[sites]
            eta = t * self.beta * self.model.conditional(x, name) + (1 - t) * unit.natural(base)
            x[:, sites] = unit.draw(eta, uniforms(x[:, sites].shape, rng))


def _log_states(model: EnergyModel) -> float:
    """log of the number of hidden configurations."""
    total = 0.0
    every = torch.arange(model.n_sites, device=model.device)
    for name, sites in model.blocks.items():
        hidden = int((every[sites] >= model.n_visible).sum())
        states = len(model.units[name].values)
        if hidden and not states:
            raise ValueError("annealing to beta = 0 needs hidden units with a finite number of values")
        total += hidden * math.log(states) if hidden else 0.0
    return total


def _estimate(log_weights: Tensor) -> LogPartition:
    chains = len(log_weights)
    shares = torch.softmax(log_weights, 0)
    effective = 1 / float((shares**2).sum())
    # Variance of the weights over their mean squared, over the number of chains: the delta method for log Z.
    error = math.sqrt(max(chains / effective - 1, 0.0) / (chains - 1))
    value = float(torch.logsumexp(log_weights, 0)) - math.log(chains)
    warning = ""
    if effective < _LEAST_SHARE * chains:
        warning = (
            f"only {effective:.1f} of {chains} chains carry the weight: log Z is probably too low and its error "
            f"too small; anneal in more steps"
        )
    return LogPartition(value, error, effective, chains, warning)
