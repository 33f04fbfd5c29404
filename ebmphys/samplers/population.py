"""Population annealing: replicas cooled together and resampled by their weights (Hukushima and Iba 2003)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.samplers.annealing import set_beta
from ebmphys.samplers.base import Chains, Sampler, advance

NextBeta = Callable[[float, Tensor], float | None]  # from beta and the energies there

_BISECTIONS = 50
_ROUNDING = 1e-7  # relative, of an inverse temperature in float32


@dataclass(frozen=True)
class AdaptiveSteps:
    """Temperature steps up to ``last`` so large that (sum w)^2 / (R sum w^2) = ``share`` of the R replicas count.

    Raises ValueError for a last beta that is not positive and finite, or a share outside (0, 1).
    """

    last: float
    share: float = 0.9

    def __post_init__(self) -> None:
        if not (0 < self.last < math.inf and 0 < self.share < 1):
            raise ValueError(f"adaptive steps need last > 0 and a share between 0 and 1, got {self}")

    def after(self, beta: float, energy: Tensor) -> float | None:
        """The next inverse temperature for replicas of these energies, by bisection; None at the last."""
        low, high = 0.0, self.last - beta
        if high <= _ROUNDING * self.last:
            return None
        if effective_share(-high * energy) >= self.share:
            return self.last
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            if effective_share(-middle * energy) >= self.share:
                low = middle
            else:
                high = middle
        return beta + high


@dataclass(frozen=True)
class Population:
    """A population at one temperature, equilibrated there.

    log_partition: the estimate of log Z at beta; energy: (size,) of the replicas; family: (size,), the number of
    the first ancestor of each; share: the effective share of the replicas in the step to this beta.
    The chains are those that go on to the next temperature: copy what is to be kept.
    """

    chains: Chains
    beta: float
    log_partition: float
    energy: Tensor
    family: Tensor
    share: float

    @property
    def family_fractions(self) -> Tensor:
        """Sizes of the families that are left, over the number of replicas; (n_families,), float64."""
        sizes = torch.bincount(self.family)
        return sizes[sizes > 0].double() / len(self.family)

    @property
    def rho_t(self) -> float:
        """Mean square family size, R sum n_i^2: 1 where all replicas are independent, R where one is left over."""
        return len(self.family) * float((self.family_fractions**2).sum())

    @property
    def rho_s(self) -> float:
        """Entropic family size, R exp(sum n_i log n_i) (Wang, Machta and Katzgraber 2015)."""
        n = self.family_fractions
        return len(self.family) * float(torch.exp((n * n.log()).sum()))

    @property
    def mean_energy(self) -> float:
        return float(self.energy.mean())

    @property
    def energy_error(self) -> float:
        """sqrt(Var(E) rho_t / R), as if whole families were copies: an upper estimate (Wang et al. 2015)."""
        return math.sqrt(float(self.energy.var()) * self.rho_t / len(self.energy))


def population_annealing(
    sampler: Sampler,
    size: int,
    betas: Tensor | Sequence[float] | AdaptiveSteps,
    steps: int = 1,
    *,
    rng: torch.Generator,
) -> Iterator[Population]:
    """Cool ``size`` replicas from beta = 0 and yield the population at each inverse temperature.

    From beta to beta' replicas are resampled with weights w = exp(-(beta' - beta) E) at fixed size, then take
    ``steps`` steps of the sampler at beta'. Q = mean w, and log Z(beta') = log(number of states) + sum log Q
    (Machta 2010); Z is unbiased but for the rounding of adaptive steps, its logarithm on average too low by half
    its variance. Resampling is systematic: one uniform for all, so that a replica with R w / sum w = 3.4 gets 3 or 4
    copies. Averages over a population are biased by order 1/R; rho_t should stay well below R.
    betas: ascending, 0 left out or not. Raises ValueError, before anything moves, for betas that are not
    finite, positive and ascending, counts below 1 (2 replicas), and units that are not two-valued.
    """
    if size < 2 or steps < 1:
        raise ValueError(f"population annealing needs 2 or more replicas and 1 or more steps, got {size} and {steps}")
    log_states = _log_states(sampler.model)
    if isinstance(betas, AdaptiveSteps):
        return _run(sampler, size, betas.after, steps, rng, log_states)
    ladder = torch.as_tensor(betas, dtype=torch.float64)
    if ladder.ndim != 1 or not len(ladder) or not bool(ladder.isfinite().all()) or float(ladder[0]) < 0:
        raise ValueError("population annealing needs a list of inverse temperatures, finite and not negative")
    if bool((ladder.diff() <= 0).any()):
        raise ValueError("population annealing goes to ever larger beta: the inverse temperatures must ascend")
    listed = iter(ladder.tolist())
    return _run(sampler, size, lambda beta, energy: next(listed, None), steps, rng, log_states)


def effective_share(log_weights: Tensor) -> float:
    """(sum w)^2 / (R sum w^2) of R weights given by their logarithms: 1 where all are equal; (R,) -> float."""
    return float(torch.exp(2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0))) / len(log_weights)


def systematic_resampling(log_weights: Tensor, rng: torch.Generator) -> Tensor:
    """Which replica each of R new ones copies: each old one floor or ceil of R w / sum w times, on average just that.

    (R,) logarithms of weights -> (R,) ascending whole numbers. Source: J. Carpenter, P. Clifford, P. Fearnhead (1999).
    """
    cumulated = log_weights.double().softmax(0).cumsum(0)
    cumulated /= cumulated[-1].clone()
    start = torch.rand((), generator=rng, device=rng.device, dtype=torch.float64)
    places = (torch.arange(len(cumulated), device=cumulated.device) + start) / len(cumulated)
    return torch.searchsorted(cumulated, places, right=True).clamp_(max=len(cumulated) - 1)


def _run(
    sampler: Sampler, size: int, next_beta: NextBeta, steps: int, rng: torch.Generator, log_partition: float
) -> Iterator[Population]:
    chains = sampler.init(size, beta=0.0, rng=rng)
    family = torch.arange(size, device=rng.device)
    energy, beta = chains.energy(sampler.model).double(), 0.0
    while (aim := next_beta(beta, energy)) is not None:
        # The sampler's beta is rounded to its own precision, and the weights must be for the same step.
        target = float(torch.tensor(aim, dtype=chains.beta.dtype))
        log_weights = -(target - beta) * energy
        log_partition += float(log_weights.logsumexp(0)) - math.log(size)
        source = systematic_resampling(log_weights, rng)
        chains.reorder(source)
        family, beta = family[source], target
        set_beta(chains, torch.tensor(beta, dtype=torch.float64))
        advance(sampler, chains, steps)
        energy = chains.energy(sampler.model).double()
        yield Population(chains, beta, log_partition, energy, family, effective_share(log_weights))


def _log_states(model: EnergyModel) -> float:
    if any(len(unit.values) != 2 for unit in model.units.values()):
        raise ValueError("population annealing starts from beta = 0, which needs units of two values")
    return model.n_sites * math.log(2)
