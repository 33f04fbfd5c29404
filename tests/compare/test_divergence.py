"""Divergences against known laws and their own stated bias; floors that hold for any size and correlation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ebmphys.compare import Ensemble, Levels, distances, histogram, js_divergence, kl_divergence, levels


def test_divergences_by_hand():
    p, q = np.array([3.0, 1.0]), np.array([1.0, 3.0])
    assert kl_divergence(p, q, smoothing=0) == pytest.approx(0.5 * math.log(3))
    middle = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert js_divergence(p, q) == pytest.approx(middle)
    assert js_divergence(p, 10 * p) == 0
    assert kl_divergence(p, p) == 0


def test_disjoint_laws_are_finite_and_js_is_ln_2():
    p, q = np.array([10.0, 0.0, 0.0]), np.array([0.0, 10.0, 0.0])
    assert js_divergence(p, q) == pytest.approx(math.log(2))
    # Half a count on the two visited levels, none on the third: 10/11 ln 21.
    assert kl_divergence(p, q) == pytest.approx(10 / 11 * math.log(21))


def laws(n_levels: int = 20) -> tuple[np.ndarray, np.ndarray]:
    p = np.exp(-0.5 * ((np.arange(n_levels) - 9) / 5) ** 2)
    q = np.exp(-0.5 * ((np.arange(n_levels) - 10) / 5) ** 2)
    return p / p.sum(), q / q.sum()


def test_kl_of_known_laws_is_recovered_within_its_stated_bias():
    (p, q), rng, n, m = laws(), np.random.default_rng(1), 20_000, 10_000
    exact = float((p * np.log(p / q)).sum())
    found = np.array([kl_divergence(rng.multinomial(n, p), rng.multinomial(m, q)) for _ in range(200)])
    bias = 19 / 2 * (1 / n + 1 / m)
    error = found.std(ddof=1) / math.sqrt(len(found))
    assert abs(found.mean() - exact - bias) < 4 * error + 0.2 * bias
    assert found.mean() - exact > 8 * error  # control: the bias is there and can be seen


@pytest.mark.parametrize(("n", "m"), [(5_000, 5_000), (20_000, 2_000)])
def test_equal_laws_give_the_stated_bias(n: int, m: int):
    (p, _), rng = laws(), np.random.default_rng(2)
    pairs = [(rng.multinomial(n, p), rng.multinomial(m, p)) for _ in range(300)]
    kl = np.mean([kl_divergence(a, b) for a, b in pairs])
    js = np.mean([js_divergence(a, b) for a, b in pairs])
    assert kl == pytest.approx(19 / 2 * (1 / n + 1 / m), rel=0.12)
    assert js == pytest.approx(19 / 8 * (1 / n + 1 / m), rel=0.12)


def test_levels_are_exact_for_integer_energies_with_gaps():
    energy = np.array([-32.0, -24.0, -20.0, 0.0, 32.0])
    grid = levels(energy, energy / 1.0)
    assert grid == Levels(-32.0, 4.0, True)
    assert grid.index(energy).tolist() == [0, 2, 3, 8, 16]


def test_levels_see_through_single_precision():
    m = np.arange(-1024, 1025, 2) / 1024
    grid = levels(m.astype(np.float32).astype(np.float64))
    assert grid.exact
    assert grid.width == pytest.approx(2 / 1024, rel=1e-6)
    assert grid.index(m).tolist() == list(range(1025))


def test_a_gap_that_divides_no_other_needs_a_finer_grid():
    assert levels(np.array([0.0, 2.0, 5.0])).width == pytest.approx(1.0)


def test_continuous_values_get_bins_of_the_reference():
    rng = np.random.default_rng(0)
    values = rng.normal(size=8000)
    grid = levels(values, rng.normal(size=100))
    assert not grid.exact
    low, high = np.quantile(values, [0.25, 0.75])
    assert grid.width == pytest.approx(2 * (high - low) / 20)


def test_a_constant_has_one_level():
    grid = levels(np.full((3, 2), -2.0))
    assert grid.exact
    assert (grid.index(np.full(4, -2.0)) == 0).all()


def test_histogram_is_a_density_with_error_bars_that_cover(draw, enumerated):
    exact = enumerated.law(2.269185314213022)
    pulls = []
    for seed in range(60):
        e = draw("a", seed, keep=False).energy_per_site
        found = histogram(e, levels(e), -2.0, 2.0)
        assert (found.density * found.width).sum() == pytest.approx(1)
        k = int(np.argmin(np.abs(found.centres + 1.5)))
        probability = exact[enumerated.energy == -24].sum()
        pulls.append((found.density[k] * found.width - probability) / (found.error[k] * found.width))
    assert 0.75 < np.std(pulls) < 1.3
    assert abs(np.mean(pulls)) < 4 / math.sqrt(60)


def test_histogram_merges_whole_levels():
    values = np.arange(200.0).reshape(100, 2)
    found = histogram(values, Levels(0.0, 1.0, True), 0, 199, most_bins=50)
    assert found.width == 4
    assert np.allclose(found.density, 1 / 200)
    assert found.centres[0] == 1.5


def excesses(draw, *, repeats: int = 40, hold: int = 1, **other) -> tuple[np.ndarray, np.ndarray]:
    """(excess, value - floor) of the JS of the energy, over repeats of reference and sample; hold: draws repeated."""
    found = []
    for seed in range(repeats):
        sample = draw("s", 1000 + seed, keep=False, **other)
        e, m = (np.repeat(a, hold, axis=0) for a in (sample.energy_per_site, sample.magnetization))
        sample = Ensemble("s", sample.temperature, 16, e, m)
        one = next(d for d in distances(draw("r", seed, keep=False), sample) if d.measure == "js")
        found.append((one.excess, one.value - one.floor))
    return np.array(found).T


def test_equal_ensembles_are_at_the_floor(draw):
    flagged = 0
    for seed in range(60):
        apart = distances(draw("r", seed, keep=False), draw("s", 500 + seed, keep=False))
        flagged += sum(not d.at_floor for d in apart if d.measure == "js")
        assert all(d.exact_levels for d in apart)
    assert flagged <= 12  # of 120: a false alarm rate of some per cent


@pytest.mark.parametrize(
    "other", [{"shape": (10, 40)}, {"shape": (400, 40)}, {"shape": (20, 40), "hold": 20}], ids=["few", "many", "slow"]
)
def test_noise_is_taken_off_for_any_size_and_correlation(draw, other):
    excess, naive = excesses(draw, **other)
    error = excess.std(ddof=1) / math.sqrt(len(excess))
    assert abs(excess.mean()) < 4 * error
    assert abs(naive.mean()) > 6 * error  # control: the floor of the reference alone would be wrong


def test_a_wrong_temperature_is_above_the_floor(draw):
    seen = [distances(draw("r", s, keep=False), draw("s", 70 + s, factor=1.06, keep=False)) for s in range(10)]
    energy = [next(d for d in apart if d.measure == "js") for apart in seen]
    assert sum(not d.at_floor for d in energy) >= 9


def test_wasserstein_of_a_shift_is_the_shift(draw):
    reference = draw("r", 1, keep=False)
    shifted = Ensemble("s", reference.temperature, 16, reference.energy_per_site + 0.5, reference.magnetization)
    apart = next(
        d for d in distances(reference, shifted) if (d.quantity, d.measure) == ("energy_per_site", "wasserstein")
    )
    assert apart.value == pytest.approx(0.5, rel=0.02)
    assert apart.floor < 0.05


def test_rare_levels_are_merged():
    rng = np.random.default_rng(3)
    e = np.rint(rng.normal(0, 400, size=(100, 8)))
    a = Ensemble("a", 1.0, 1000, e, np.sign(e))
    b = Ensemble("b", 1.0, 1000, np.rint(rng.normal(0, 400, size=(100, 8))), np.sign(e))
    js = next(d for d in distances(a, b) if d.measure == "js")
    assert not js.exact_levels
    assert js.levels <= 80
    assert js.at_floor


def test_histogram_errors_are_those_of_independent_chains():
    """Eight chains that stand still: the error of each bin is the textbook error of eight numbers."""
    values = np.tile([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0], (30, 1))
    found = histogram(values, Levels(0.0, 1.0, True), 0, 1)
    assert np.allclose(found.density, [3 / 8, 5 / 8])
    assert np.allclose(found.error, values[0].std(ddof=1) / math.sqrt(8))


def test_forward_kl_punishes_what_the_sample_lacks(draw):
    """A sample that is a part of the reference: KL(ref || sample) is the larger one, and ln 2 for half of it."""
    reference = draw("r", 1, keep=False)
    half = Ensemble("s", reference.temperature, 16, reference.energy_per_site, np.abs(reference.magnetization))
    js, forward, backward = (
        next(d.value for d in distances(reference, half) if (d.quantity, d.measure) == ("magnetization", measure))
        for measure in ("js", "kl_forward", "kl_backward")
    )
    assert forward > 3 * backward
    assert backward == pytest.approx(math.log(2), rel=0.1)
    assert js < backward


def test_a_small_sample_of_the_same_law_is_at_the_floor(draw):
    """The sample's own noise counts too: against a large reference a small sample is not thereby different."""
    alarms = 0
    for seed in range(20):
        reference, few = draw("r", seed, shape=(300, 40)), draw("s", 1000 + seed, shape=(6, 40))
        alarms += sum(not d.at_floor for d in distances(reference, few) if d.measure == "js")
    assert alarms <= 4
