"""Chains with weights 1/g(E), which visit all energies alike, and the way back to canonical averages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.exact.thermodynamics import check_beta
from ebmphys.samplers.base import Chains, random_chains
from ebmphys.samplers.compiled import seeds, torch_threads
from ebmphys.samplers.flat_histogram.density import DensityOfStates
from ebmphys.samplers.flat_histogram.kernels import weighted_sweep
from ebmphys.samplers.flat_histogram.levels import IntegerIsing
from ebmphys.stats import Estimate, jackknife

Real = NDArray[np.float64]


@dataclass(frozen=True)
class Multicanonical:
    """Single-spin flips with the law p(s) ~ 1/g(E(s)) (Berg and Neuhaus 1992), for a density of states that is known
    well enough; the law is exactly this whatever its errors. One step is one sweep: n_sites attempts at sites
    picked at random, accepted with probability min(1, g(E)/g(E')). The inverse temperature of the chains plays no
    role. A level that the density lacks has the weight of those about it. Returns ``acceptance``, (*batch,), flips
    a site, and ``energy``, (*batch,). Raises ValueError as `IntegerIsing.of` does, and for a density of another size.
    """

    model: EnergyModel
    density: DensityOfStates

    def __post_init__(self) -> None:
        if self.density.n_sites != self._system.n_sites:
            raise ValueError(
                f"the density of states is that of {self.density.n_sites} sites, the model has {self._system.n_sites}"
            )

    @cached_property
    def _system(self) -> IntegerIsing:
        return IntegerIsing.of(self.model)

    @cached_property
    def _log_weight(self) -> Real:
        return -self.density.log_at(self._system.energies)

    def init(self, *batch: int, beta: Tensor | float = 1.0, rng: torch.Generator) -> Chains:
        return random_chains(self.model, batch, beta, rng)

    @torch.no_grad()
    def step(self, chains: Chains) -> dict[str, Tensor]:
        system = self._system
        spins = chains.x.reshape(-1, system.n_sites).to(torch.int8).numpy()
        bins = system.bins(spins)
        streams = seeds((len(spins), 4), chains.rng)
        with torch_threads():
            flips = weighted_sweep(
                spins,
                bins,
                self._log_weight,
                system.neighbours,
                system.strengths,
                system.fields,
                system.spacing,
                streams,
            )
        chains.x = torch.from_numpy(spins).to(chains.x.dtype).reshape(chains.x.shape)
        energy = torch.from_numpy(system.energies[bins]).reshape(chains.batch)
        acceptance = torch.from_numpy(flips / system.n_sites).reshape(chains.batch)
        return {"acceptance": acceptance.float(), "energy": energy}


def canonical_weights(energies: Real, beta: float, density: DensityOfStates) -> Real:
    """What each multicanonical draw counts at beta: g(E) exp(-beta E), normalised to sum to 1; any shape -> same.

    Raises ValueError for beta that is negative or not finite.
    """
    log_weight = _log_weights(np.asarray(energies, dtype=np.float64), check_beta(beta), density)
    weights = np.exp(log_weight - log_weight.max())
    return np.asarray(weights / weights.sum())


def canonical_averages(energies: Real, beta: float, density: DensityOfStates) -> dict[str, Estimate]:
    """Averages at beta from the energies of multicanonical chains; (draw,) or (draw, chain).

    energy_per_site, specific_heat = beta^2 Var(E) / N, and log_partition = N log 2 + log <g exp(-beta E)> - log <g>,
    which needs draws about infinite temperature too, as a flat histogram has. Errors by `ebmphys.stats.jackknife` of
    these ratios of averages, in blocks longer than the autocorrelation time.
    Raises ValueError for beta that is negative or not finite.
    """
    energy = np.asarray(energies, dtype=np.float64)
    beta, n = check_beta(beta), density.n_sites
    hot, cold = (_log_weights(energy, heat, density) for heat in (0.0, beta))
    scale = cold.max() - hot.max() + n * np.log(2)
    free, weight = np.exp(hot - hot.max()), np.exp(cold - cold.max())
    # About the reweighted mean, so that the variance is no small difference of large numbers.
    middle = float((weight * energy).sum() / weight.sum())
    shifted = energy - middle

    def ratios(all_: Real, w: Real, we: Real, wee: Real) -> Real:
        mean = we / w
        variance = wee / w - mean**2
        return np.array([(middle + mean) / n, beta**2 * variance / n, np.log(w / all_) + scale])

    together = jackknife(ratios, free, weight, weight * shifted, weight * shifted**2)
    names = ("energy_per_site", "specific_heat", "log_partition")
    return {
        name: replace(together, value=float(value), error=float(error))
        for name, value, error in zip(names, together.value, together.error, strict=True)
    }


def _log_weights(energy: Real, beta: float, density: DensityOfStates) -> Real:
    return np.asarray(density.log_at(energy) - beta * energy)
