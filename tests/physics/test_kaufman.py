"""Energies of local samplers on tori against Kaufman's exact ones, with error bars neither too small nor too large.

Twenty independent runs each: every z below 4, and their spread that of a normal variable. L = 16 always, 32 and 64 with
``pytest -m slow``.
"""

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from ebmphys.energies import ferromagnet
from ebmphys.exact import kaufman
from ebmphys.rng import generator
from ebmphys.samplers import BlockGibbs, Metropolis, Schedule, record
from ebmphys.stats import mean_with_error

BETA_C = 0.4406868
RUNS = 20
# (L, beta) -> chains a run, burn-in, draws, thin: about ten energy autocorrelation times before, hundreds after.
PLANS = {
    (16, 0.3): (4, 100, 200, 2),
    (16, BETA_C): (8, 600, 400, 5),
    (16, 0.5): (4, 300, 300, 3),
    (32, 0.3): (4, 100, 200, 2),
    (32, BETA_C): (8, 2000, 600, 10),
    (32, 0.5): (4, 600, 400, 5),
    (64, 0.3): (4, 100, 200, 2),
    (64, BETA_C): (8, 8000, 2400, 20),
    (64, 0.5): (4, 1500, 400, 5),
}


def z_scores(kind, size, beta, sampled_beta=None) -> np.ndarray:
    """Distance of each run's energy from Kaufman's in its own error bars."""
    chains_a_run, burn_in, draws, thin = PLANS[size, beta]
    model = ferromagnet((size, size), device="cpu")
    sampler = kind(model)
    rng = generator(7, kind.__name__, size, str(beta), device="cpu")
    chains = sampler.init(RUNS * chains_a_run, beta=sampled_beta or beta, rng=rng)
    # Half the chains start ordered: what is left of the start then has either sign.
    chains.x[::2] = chains.x[::2, :1].expand_as(chains.x[::2]).clone()
    series = record(sampler, chains, Schedule(draws, thin, burn_in), {"e": lambda x: model.energy(x) / model.n_sites})
    exact = kaufman((size, size), beta).energy_per_site
    runs = [
        mean_with_error(run) for run in series["e"].double().numpy().reshape(draws, RUNS, chains_a_run).swapaxes(0, 1)
    ]
    return np.array([(run.value - exact) / run.error for run in runs])


def check(z: np.ndarray) -> None:
    assert np.abs(z).max() < 4
    assert chi2.ppf(0.001, RUNS) < (z**2).sum() < chi2.ppf(0.999, RUNS)
    assert abs(z.mean()) < 4 / RUNS**0.5


@pytest.mark.parametrize("beta", [0.3, BETA_C, 0.5])
@pytest.mark.parametrize("kind", [BlockGibbs, Metropolis])
def test_energy_on_16_by_16(kind, beta):
    check(z_scores(kind, 16, beta))


def test_one_percent_of_beta_is_noticed():
    with pytest.raises(AssertionError):
        check(z_scores(BlockGibbs, 16, 0.3, sampled_beta=0.303))


@pytest.mark.slow
@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("beta", [0.3, BETA_C, 0.5])
@pytest.mark.parametrize("kind", [BlockGibbs, Metropolis])
def test_energy_on_larger_tori(kind, beta, size):
    check(z_scores(kind, size, beta))


@pytest.mark.parametrize("kind", [BlockGibbs, Metropolis])
def test_energy_on_cuda(kind):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model = ferromagnet((16, 16), device="cuda")
    sampler = kind(model)
    chains = sampler.init(4000, beta=0.3, rng=generator(1, device="cuda"))
    series = record(sampler, chains, Schedule(50, 5, 200), {"e": lambda x: model.energy(x) / 256})
    run = mean_with_error(series["e"].double().cpu().numpy())
    assert abs(run.value - kaufman((16, 16), 0.3).energy_per_site) < 4 * run.error
