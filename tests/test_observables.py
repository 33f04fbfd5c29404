"""Observables by hand, against slow sums, and against enumeration of the 3 x 4 and 4 x 4 torus."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ebmphys import observables as ob
from ebmphys.lattice import Graph, Lattice
from ebmphys.stats import jackknife

BETA_C = np.log(1 + np.sqrt(2)) / 2


def every_configuration(n):
    bits = (torch.arange(2**n)[:, None] >> torch.arange(n)) & 1
    return (2 * bits - 1).to(torch.float32)


def ising(lattice):
    start, end = torch.as_tensor(lattice.bonds).T
    return SimpleNamespace(n_sites=lattice.n_sites, energy=lambda x: -(x[..., start] * x[..., end]).sum(-1))


def boltzmann(lattice, beta):
    """All configurations with their probabilities in float64."""
    x = every_configuration(lattice.n_sites)
    weights = torch.exp(-beta * (ising(lattice).energy(x).double() + lattice.n_sites * 2))
    return x, weights / weights.sum()


def average(values, p):
    return torch.tensordot(p, values.double(), dims=1).numpy()


def exact_summary(shape, beta):
    lattice = Lattice(shape)
    x, p = boltzmann(lattice, beta)
    e, m = ob.energy_per_site(x, ising(lattice)).double(), ob.magnetization(x).double()
    u, e2, abs_m, m2, m4 = (float((p * v).sum()) for v in (e, e**2, m.abs(), m**2, m**4))
    n = lattice.n_sites
    return {
        "energy_per_site": u,
        "abs_magnetization": abs_m,
        "magnetization_squared": m2,
        "magnetization_fourth": m4,
        "specific_heat": ob.specific_heat(u, e2, beta, n),
        "susceptibility": ob.susceptibility(abs_m, m2, beta, n),
        "susceptibility_disordered": ob.susceptibility_disordered(m2, beta, n),
        "binder_cumulant": ob.binder_cumulant(m2, m4),
    }


def random_spins(*shape, seed=0):
    return torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(seed)).float() * 2 - 1


def grid(rows):
    return torch.tensor([[1.0 if c == "+" else -1.0 for c in row] for row in rows]).flatten()


UP = grid(["++++"] * 4)
FLIPPED = grid(["++++", "+-++", "++++", "++++"])
CHECKERBOARD = grid(["+-+-", "-+-+"] * 2)
ROWS = grid(["++++", "----"] * 2)
HALVES = grid(["++++", "++++", "----", "----"])


@pytest.mark.parametrize(
    ("x", "m", "walls", "staggered", "g"),
    [
        (UP, 1.0, 0.0, 0.0, [1, 1, 1]),
        (FLIPPED, 14 / 16, 4 / 32, -2 / 16, [1, 0.75, 0.75]),
        (CHECKERBOARD, 0.0, 1.0, 1.0, [1, -1, 1]),
        (ROWS, 0.0, 0.5, 0.0, [1, 0, 1]),
        (HALVES, 0.0, 0.25, 0.0, [1, 0.5, 0]),
    ],
)
def test_by_hand_on_4x4(x, m, walls, staggered, g):
    lattice = Lattice((4, 4))
    assert ob.magnetization(x) == m
    assert ob.magnetization(-x) == -m
    assert ob.abs_magnetization(-x) == m
    assert ob.magnetization_squared(-x) == m**2
    assert ob.magnetization_fourth(-x) == m**4
    assert ob.domain_walls(x, lattice) == walls
    # The flipped site (1, 1) is on the sublattice of site 0, so that m_s = (6 - 8) / 16.
    assert ob.staggered_magnetization(x, lattice) == staggered
    assert ob.energy_per_site(x, ising(lattice)) == -2 * (1 - 2 * walls)
    assert ob.two_point(x, lattice).numpy() == pytest.approx(np.array(g, dtype=float), abs=1e-6)


@pytest.mark.parametrize(
    ("x", "peaks"),
    [
        (UP, {(0, 0): 16}),
        (CHECKERBOARD, {(2, 2): 16}),
        (ROWS, {(2, 0): 16}),
        (HALVES, {(1, 0): 8, (3, 0): 8}),  # |4 (1 - i + 1 - i)|^2 / 16
    ],
)
def test_structure_factor_by_hand_on_4x4(x, peaks):
    expected = np.zeros((4, 4))
    for at, height in peaks.items():
        expected[at] = height
    lattice = Lattice((4, 4))
    assert ob.structure_factor(x, lattice).reshape(4, 4).numpy() == pytest.approx(expected, abs=1e-5)
    small = [expected[0, 0], (expected[1, 0] + expected[0, 1]) / 2]
    assert ob.small_structure_factors(x, lattice).numpy() == pytest.approx(np.array(small), abs=1e-5)


SHAPES = [(4, 4), (3, 5), (2, 4), (5, 2), (7,), (8,), (1, 6), (2, 3, 4)]


@pytest.mark.parametrize("shape", SHAPES)
def test_two_point_is_the_double_loop(shape):
    lattice = Lattice(shape)
    x = random_spins(2, 3, lattice.n_sites)
    spins = x.numpy().reshape(2, 3, *shape)
    expected = np.zeros((2, 3, min(shape) // 2 + 1))
    for r in range(expected.shape[-1]):
        for site in np.ndindex(*shape):
            for axis, side in enumerate(shape):
                other = tuple((c + r) % side if a == axis else c for a, c in enumerate(site))
                expected[..., r] += spins[(..., *site)] * spins[(..., *other)] / (lattice.n_sites * len(shape))
    assert ob.two_point(x, lattice).numpy() == pytest.approx(expected, abs=1e-6)
    assert ob.two_point(x, lattice)[..., 0].numpy() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_structure_factor_is_the_direct_sum(shape):
    lattice = Lattice(shape)
    x = random_spins(2, 3, lattice.n_sites)
    phases = np.exp(-1j * lattice.positions @ lattice.momenta.T)
    expected = np.abs(x.numpy() @ phases) ** 2 / lattice.n_sites
    found = ob.structure_factor(x, lattice)
    assert found.numpy() == pytest.approx(expected, abs=1e-4)
    assert found.sum(-1).numpy() == pytest.approx(lattice.n_sites, rel=1e-5)
    assert found[..., 0].numpy() == pytest.approx((lattice.n_sites * ob.magnetization_squared(x)).numpy(), abs=1e-4)
    lowest = []
    for axis, side in enumerate(shape):
        if side == max(shape):
            k = np.eye(len(shape))[axis] * ob.smallest_momentum(lattice)
            at = np.argmin(np.abs(lattice.momenta - k).sum(axis=1))
            assert lattice.momenta[at] == pytest.approx(k)
            lowest.append(expected[..., at])
    expected_small = np.stack([expected[..., 0], np.mean(lowest, axis=0)], axis=-1)
    assert ob.small_structure_factors(x, lattice).numpy() == pytest.approx(expected_small, abs=1e-4)


def test_two_point_is_the_fourier_transform_of_the_structure_factor():
    lattice = Lattice((6, 6))
    x = random_spins(10, 36)
    s = ob.structure_factor(x, lattice).reshape(10, 6, 6)
    full = torch.fft.ifft2(s).real  # C(r) over all displacements
    expected = (full[:, :4, 0] + full[:, 0, :4]) / 2
    assert ob.two_point(x, lattice).numpy() == pytest.approx(expected.numpy(), abs=1e-5)


def test_triangular_lattice_has_fourier_modes_on_its_own_momenta():
    lattice = Lattice((4, 6), "triangular")
    x = random_spins(5, 24)
    expected = np.abs(x.numpy() @ np.exp(-1j * lattice.positions @ lattice.momenta.T)) ** 2 / 24
    assert ob.structure_factor(x, lattice).numpy() == pytest.approx(expected, abs=1e-4)


def test_open_and_doubled_bonds_in_domain_walls():
    chain = Lattice((4,), periodic=False)
    x = torch.tensor([1.0, 1.0, -1.0, -1.0])
    assert ob.domain_walls(x, chain) == pytest.approx(1 / 3)
    assert ob.domain_walls(x, Lattice((4,))) == 0.5
    # On 2 x 3 the two bonds of a doubled pair both count: 6 + 6 bonds, one flipped spin breaks 2 + 2.
    assert ob.domain_walls(grid(["-++", "+++"]), Lattice((2, 3))) == pytest.approx(4 / 12)


def test_no_observable_averages_over_the_batch_and_all_keep_precision():
    lattice = Lattice((4, 6))
    x = random_spins(3, 5, 24)
    functions = {
        "m": ob.magnetization,
        "abs m": ob.abs_magnetization,
        "m2": ob.magnetization_squared,
        "m4": ob.magnetization_fourth,
        "walls": lambda s: ob.domain_walls(s, lattice),
        "g": lambda s: ob.two_point(s, lattice),
        "s": lambda s: ob.structure_factor(s, lattice),
        "small": lambda s: ob.small_structure_factors(s, lattice),
        "staggered": lambda s: ob.staggered_magnetization(s, lattice),
    }
    for f in functions.values():
        together = f(x)
        assert together.shape[:2] == (3, 5)
        assert torch.allclose(together[2, 4], f(x[2, 4]), atol=1e-5)
        for dtype in (torch.int8, torch.float16, torch.bfloat16):
            assert torch.allclose(f(x.to(dtype)), together, atol=1e-5)
            assert f(x.to(dtype)).dtype == torch.float32
        assert f(x.double()).dtype == torch.float64
    assert ob.magnetization(torch.ones(70_000, dtype=torch.int8)) == 1.0
    assert ob.magnetization(torch.ones(70_000, dtype=torch.float16)) == 1.0


@pytest.mark.parametrize(
    ("beta", "u", "c"),
    [
        (0.4, -1.379116482259, 0.812515229440),
        (BETA_C, -1.565623787638, 0.783266825929),
        (0.5, -1.755380288777, 0.605532657210),
    ],
)
def test_4x4_torus_against_kaufman(beta, u, c):
    found = exact_summary((4, 4), beta)
    assert found["energy_per_site"] == pytest.approx(u, abs=1e-11)
    assert found["specific_heat"] == pytest.approx(c, abs=1e-10)
    wrong = exact_summary((4, 4), 1.01 * beta)  # 1 % in beta shows by nine orders more than the tolerance
    assert abs(wrong["energy_per_site"] - u) > 1e-3


def test_4x4_torus_against_the_transfer_matrix():
    found = exact_summary((4, 4), BETA_C)
    assert found["abs_magnetization"] == pytest.approx(0.843860444813, abs=1e-8)
    assert found["magnetization_squared"] == pytest.approx(0.761358908569, abs=1e-8)
    assert found["magnetization_fourth"] == pytest.approx(0.665691213267, abs=1e-8)
    assert found["binder_cumulant"] == pytest.approx(0.617199318412, abs=1e-8)
    assert found["susceptibility"] == pytest.approx(BETA_C * 16 * (0.761358908569 - 0.843860444813**2), abs=1e-6)
    assert found["susceptibility_disordered"] == pytest.approx(BETA_C * 16 * 0.761358908569, abs=1e-6)


def test_domain_walls_are_the_energy_of_the_uniform_model():
    lattice = Lattice((3, 4))
    x = every_configuration(12)
    e = ob.energy_per_site(x, ising(lattice))
    assert torch.allclose(ob.domain_walls(x, lattice), (1 + e / 2) / 2, atol=1e-6)


@pytest.mark.parametrize("beta", [0.2, 0.44])
def test_chain_has_the_two_point_function_of_its_transfer_matrix(beta):
    # On a ring of L spins with t = tanh beta: <s_0 s_r> = (t^r + t^(L - r)) / (1 + t^L).
    lattice = Lattice((9,))
    x, p = boltzmann(lattice, beta)
    t, r = np.tanh(beta), np.arange(5)
    assert average(ob.two_point(x, lattice), p) == pytest.approx((t**r + t ** (9 - r)) / (1 + t**9), abs=1e-6)


def test_averages_of_the_3x4_torus_obey_the_sum_rules():
    lattice = Lattice((3, 4))
    x, p = boltzmann(lattice, 0.3)
    s = average(ob.structure_factor(x, lattice), p)
    assert s.sum() == pytest.approx(12, abs=1e-5)
    assert s[0] == pytest.approx(12 * average(ob.magnetization_squared(x), p), abs=1e-5)
    g = average(ob.two_point(x, lattice), p)
    u = average(ob.energy_per_site(x, ising(lattice)), p)
    assert -2 * g[1] == pytest.approx(u, abs=1e-6)


def test_correlation_length():
    # A free field on the lattice, S(k) = 1 / (m^2 + 4 sin^2(k/2)), has second-moment length 1/m for any k.
    for k in (0.1, 0.7):
        s = [1 / (0.2**2 + 4 * np.sin(q / 2) ** 2) for q in (0.0, k)]
        assert ob.correlation_length(s[0], s[1], k) == pytest.approx(5.0)
        assert ob.correlation_length(s[0], 1.01 * s[1], k) != pytest.approx(5.0, rel=1e-3)
    both = ob.correlation_length(np.array([2.0, 1.0]), np.array([1.0, 2.0]), np.pi)
    assert both[0] == pytest.approx(0.5)
    assert np.isnan(both[1])
    assert ob.correlation_length(16.0, 0.0, 1.0) == np.inf
    assert ob.smallest_momentum(Lattice((4, 8))) == pytest.approx(np.pi / 4)


def test_binder_cumulant_has_its_limits():
    assert ob.binder_cumulant(0.25, 0.0625) == pytest.approx(2 / 3)
    assert ob.binder_cumulant(2.0, 12.0) == pytest.approx(0.0)
    assert np.isnan(ob.binder_cumulant(0.0, 0.0))


def heat_bath_runs(shape, beta, draws, runs, seed):
    """Series (draw, run) of e and m by checkerboard heat bath, from exact draws, so that no burn-in is needed."""
    lattice, rng = Lattice(shape), torch.Generator().manual_seed(seed)
    states, p = boltzmann(lattice, beta)
    x = states[torch.multinomial(p, runs, replacement=True, generator=rng)]
    neighbours, model = torch.as_tensor(lattice.neighbours), ising(lattice)
    energy, magnetization = torch.empty(draws, runs), torch.empty(draws, runs)
    for t in range(draws):
        for colour in map(torch.as_tensor, lattice.colours):
            up = torch.sigmoid(2 * beta * x[:, neighbours[colour]].sum(-1))
            x[:, colour] = (torch.rand(up.shape, generator=rng) < up).float() * 2 - 1
        energy[t], magnetization[t] = ob.energy_per_site(x, model), ob.magnetization(x)
    return energy.numpy(), magnetization.numpy()


@pytest.mark.parametrize(("draws", "chains", "repeats"), [(50, 40, 200), (700, 4, 200)])
def test_error_bars_of_monte_carlo_averages_cover_the_exact_values(draws, chains, repeats):
    beta, shape = 0.42, (4, 4)
    e, m = (s.reshape(draws, repeats, chains) for s in heat_bath_runs(shape, beta, draws, repeats * chains, seed=8))
    tables = [ob.summarize(e[:, k], m[:, k], beta, 16) for k in range(repeats)]
    truth, wrong = exact_summary(shape, beta), exact_summary(shape, 1.01 * beta)
    assert tables[0].keys() == truth.keys()
    refused = 0
    for name, exact in truth.items():
        values, errors = np.array([(table[name].value, table[name].error) for table in tables]).T
        scatter = values.std(ddof=1)
        assert 0.85 < np.sqrt((errors**2).mean()) / scatter < 1.15, name
        assert abs((np.abs(values - exact) < errors).mean() - 0.683) < 3 * np.sqrt(0.683 * 0.317 / repeats), name
        assert abs(values.mean() - exact) < 4 * scatter / np.sqrt(repeats), name
        refused += abs(values.mean() - wrong[name]) > 4 * scatter / np.sqrt(repeats)
    assert refused >= 4  # beta off by 1 % is refused by the energy, and by three others at least
    naive = e.std(axis=(0, 2)) / np.sqrt(draws * chains)
    covered = (np.abs(e.mean(axis=(0, 2)) - truth["energy_per_site"]) < naive).mean()
    assert covered < 0.683 - 3 * np.sqrt(0.683 * 0.317 / repeats)


def test_summary_of_independent_draws():
    lattice = Lattice((4, 4))
    states, p = boltzmann(lattice, 0.4)
    x = states[torch.multinomial(p, 20_000, replacement=True, generator=torch.Generator().manual_seed(1))]
    table = ob.summarize(ob.energy_per_site(x, ising(lattice))[None], ob.magnetization(x)[None], 0.4, 16)
    for name, exact in exact_summary((4, 4), 0.4).items():
        assert abs(table[name].value - exact) < 4 * table[name].error, name
        assert table[name].error < 0.02 * abs(exact), name
        assert table[name].warning == "", name


def test_summary_of_a_frozen_run_speaks():
    table = ob.summarize(np.full((100, 40), -2.0), np.ones((100, 40)), 1.0, 16)
    for estimate in table.values():
        assert np.isfinite([estimate.value, estimate.error]).all()
        assert "never changes" in estimate.warning
    assert table["binder_cumulant"].value == pytest.approx(2 / 3)
    fixed = ob.summarize(np.random.default_rng(0).standard_normal((100, 40)), np.zeros((100, 40)), 1.0, 16)
    assert "not finite" in fixed["binder_cumulant"].warning


def test_two_point_function_and_correlation_length_with_jackknife_errors():
    lattice = Lattice((4, 4))
    states, p = boltzmann(lattice, 0.3)
    x = states[torch.multinomial(p, 4000, replacement=True, generator=torch.Generator().manual_seed(2))]
    g = jackknife(lambda mean: mean, ob.two_point(x, lattice)[None])
    exact = average(ob.two_point(states, lattice), p)
    assert g.value.shape == (3,)
    assert (np.abs(g.value - exact)[1:] < 4 * g.error[1:]).all()
    k = ob.smallest_momentum(lattice)
    xi = jackknife(lambda s: ob.correlation_length(s[0], s[1], k), ob.small_structure_factors(x, lattice)[None])
    s0, s1 = average(ob.small_structure_factors(states, lattice), p)
    assert abs(xi.value - ob.correlation_length(s0, s1, k)) < 4 * xi.error
    assert xi.error < 0.03


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ob.domain_walls(torch.ones(3, 5), Lattice((2, 2))), r"\(\*batch, 4\), got \(3, 5\)"),
        (lambda: ob.domain_walls(torch.ones(3), Graph(3, [])), "at least one bond"),
        (lambda: ob.two_point(torch.ones(16), Lattice((4, 4), periodic=False)), "periodic lattice"),
        (lambda: ob.structure_factor(torch.ones(8), Lattice((2, 2), "honeycomb")), "one site a cell"),
        (lambda: ob.staggered_magnetization(torch.ones(9), Lattice((3, 3))), "two sublattices"),
        (lambda: ob.summarize(np.zeros((4, 2)), np.zeros((2, 4)), 1.0, 4), "equal"),
        (lambda: ob.summarize([1.0, np.nan, 0.0], [1.0, 1.0, 1.0], 1.0, 4), "finite"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
