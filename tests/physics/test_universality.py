"""Universal numbers and critical points of the literature, and Kaufman to 10^-4, by packed kernels and clusters.

Longer physics: pytest -m slow tests/physics/test_universality.py
"""

import pytest
import torch

from ebmphys.energies import Ising
from ebmphys.exact import kaufman
from ebmphys.lattice import Lattice
from ebmphys.observables import binder_cumulant
from ebmphys.rng import generator
from ebmphys.samplers import MultiSpin, SwendsenWang
from ebmphys.stats import jackknife, mean_with_error

BETA_C = 0.44068679350977147
BETA_C_CUBIC = 0.221654626  # Ferrenberg, Xu and Landau (2018)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "beta", "sweeps"), [(32, 0.36, 3000), (64, 0.36, 3000), (128, 0.36, 3000), (32, BETA_C, 60_000)]
)
def test_packed_energy_to_one_in_ten_thousand(size, beta, sweeps):
    # Chains of random and of ordered starts, long after both are forgotten: one mean a chain is independent.
    model = Ising(Lattice((size, size)), device="cpu")
    sampler = MultiSpin(model)
    chains = sampler.init(4096, beta=beta, rng=generator(20, size, device="cpu"))
    x = chains.x
    x[::2] = 1
    chains.x = x
    sampler.advance(chains, sweeps // 4)
    means = torch.zeros(4096, dtype=torch.float64)
    draws = 300
    for _ in range(draws):
        sampler.advance(chains, sweeps // draws)
        means += chains.energy(model) / model.n_sites / draws
    error, exact = float(means.std()) / 4096**0.5, kaufman((size, size), beta).energy_per_site
    assert error < 1e-4 * abs(exact)
    assert abs(float(means.mean()) - exact) < 4 * error


@pytest.mark.slow
@pytest.mark.parametrize(("size", "draws"), [(64, 2200), (128, 700)])
def test_cluster_energy_at_the_critical_point_to_one_in_ten_thousand(size, draws):
    model = Ising(Lattice((size, size)), device="cpu")
    sampler = SwendsenWang(model)
    chains = sampler.init(256, beta=BETA_C, rng=generator(23, size, device="cpu"))
    sampler.advance(chains, 200)
    total = torch.zeros(256, dtype=torch.float64)
    for _ in range(draws):
        sampler.advance(chains, 3)
        total += chains.energy(model).double() / model.n_sites
    means = total / draws
    exact = kaufman((size, size), BETA_C).energy_per_site
    error = float(means.std()) / 256**0.5
    assert error < 1e-4 * abs(exact)
    assert abs(float(means.mean()) - exact) < 4 * error


def binder(shape, beta, chains, draws, thin):
    """U4 by Swendsen-Wang, after a burn-in of 200 updates, with a jackknife over chains."""
    model = Ising(Lattice(shape), device="cpu")
    sampler = SwendsenWang(model)
    state = sampler.init(chains, beta=beta, rng=generator(21, *shape, device="cpu"))
    sampler.advance(state, 200)
    series = []
    for _ in range(draws):
        sampler.advance(state, thin)
        series.append(state.magnetization(model.n_sites))
    m2 = torch.stack(series).numpy() ** 2
    return jackknife(binder_cumulant, m2, m2**2)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "exact"), [(10, 0.612340533994), (12, 0.611917822203), (64, 0.610690)])
def test_binder_cumulant_at_the_critical_point(size, exact):
    # L = 10 and 12 by transfer matrix; the infinite torus by Kamieniarz and Bloete (1993), at L = 64 to about 5e-5.
    found = binder((size, size), BETA_C, chains=256, draws=400, thin=3)
    assert found.error < 1e-3
    assert abs(found.value - exact) < 4 * found.error + (5e-5 if size == 64 else 0)


@pytest.mark.slow
def test_cubic_lattice_at_its_critical_point():
    # U4 of the cubic torus at beta_c tends to 0.46548(5) (Ferrenberg, Xu and Landau 2018), with corrections of L^-0.83.
    found = {size: binder((size,) * 3, BETA_C_CUBIC, chains=128, draws=200, thin=2) for size in (8, 16, 24)}
    # Falls towards the limit as L grows, from above; at L = 24 the correction is about 0.01.
    assert found[8].value > found[16].value - 3 * found[16].error
    assert abs(found[24].value - 0.4655) < 0.015 + 4 * found[24].error


def test_cubic_energy_of_27_sites():
    # 3 x 3 x 3 by enumeration: u = -1.434444011468 at beta_c.
    model = Ising(Lattice((3, 3, 3)), device="cpu")
    for sampler in (MultiSpin(model), MultiSpin(model, "metropolis"), SwendsenWang(model)):
        chains = sampler.init(32768, beta=BETA_C_CUBIC, rng=generator(23, device="cpu"))
        sampler.advance(chains, 100)
        e = mean_with_error(chains.energy(model).double().numpy()[None, :] / 27)
        assert abs(e.value + 1.434444011468) < 4 * e.error
        assert abs(e.value + 1.434444011468 * 1.02) > 4 * e.error
