"""Error bars against AR(1) series, whose autocorrelation time and errors are known in closed form.

x_(t+1) = a x_t + sqrt(1 - a^2) xi has unit variance, rho(t) = a^t and tau_int = 1/2 + a/(1 - a).
"""

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy.signal import lfilter

from ebmphys.stats import (
    autocorrelation,
    binning,
    bootstrap,
    effective_sample_size,
    independent_mean,
    jackknife,
    mean_with_error,
    split_rhat,
    tau_int,
)

LONG, FOUR, MANY, GPU = (10_000, 1), (2_500, 4), (300, 64), (300, 1000)  # (draw, chain)


def coefficient(tau):
    return (tau - 0.5) / (tau + 0.5)


def ar1(shape, tau, seed):
    a = coefficient(tau)
    noise = np.random.default_rng([seed, *shape]).standard_normal(shape)
    noise[1:] *= np.sqrt(1 - a**2)
    return lfilter([1.0], [1.0, -a], noise, axis=0)


def error_of_mean(shape, tau):
    t = np.arange(1, shape[0])
    return np.sqrt((1 + 2 * ((1 - t / shape[0]) * coefficient(tau) ** t).sum()) / np.prod(shape))


def error_of_hermite(shape, tau, order, weight):
    """Error of the mean of weight x He_order(x): autocorrelation a^(order t), variance order!."""
    a = coefficient(tau) ** order
    variance = weight**2 * [1, 1, 2, 6, 24][order]
    return np.sqrt(2 * (0.5 + a / (1 - a)) * variance / np.prod(shape))


def variance(x, x2):
    return x2 - x**2


def binder(x2, x4):
    return 1 - x4 / (3 * x2**2)


def verdict(estimates, truth, true_error):
    """(mean error bar / true error, whether that is within 10 % and 68.3 % of the bars cover, to 3 sigma)."""
    values, errors = np.array(estimates).T
    ratio = errors.mean() / true_error
    covered = (np.abs(values - truth) < errors).mean()
    sigma = np.sqrt(0.683 * 0.317 / len(values))
    return ratio, bool(abs(ratio - 1) < 0.1 and abs(covered - 0.683) < 3 * sigma)


def pair(estimate):
    return estimate.value, estimate.error


CASES = [(LONG, 10.0, 300), (FOUR, 10.0, 300), ((1000, 8), 20.0, 300), (MANY, 9.5, 300), (GPU, 9.5, 200)]


@pytest.mark.parametrize(("shape", "tau", "repeats"), CASES)
def test_error_bars_of_the_mean_cover(shape, tau, repeats):
    estimates = [pair(mean_with_error(ar1(shape, tau, seed))) for seed in range(repeats)]
    assert verdict(estimates, 0.0, error_of_mean(shape, tau))[1]


@pytest.mark.parametrize(("shape", "tau"), [(LONG, 10.0), (FOUR, 10.0), (MANY, 9.5)])
def test_naive_error_bars_fail_the_same_test(shape, tau):
    runs = [ar1(shape, tau, seed) for seed in range(200)]
    ratio, covers = verdict([(x.mean(), x.std() / np.sqrt(x.size)) for x in runs], 0.0, error_of_mean(shape, tau))
    assert not covers
    assert ratio < 0.3


def test_gamma_method_needs_the_pooled_mean_on_many_short_chains():
    shape, tau = (100, 200), 9.5

    def gamma(x, values):
        return x.mean(), np.sqrt(2 * tau_int(values).value * values.var() / x.size)

    runs = [ar1(shape, tau, seed) for seed in range(200)]
    pooled, covers = verdict([gamma(x, x) for x in runs], 0.0, error_of_mean(shape, tau))
    assert covers
    assert abs(pooled - 1) < 0.07
    per_chain, covers = verdict([gamma(x, x - x.mean(axis=0)) for x in runs], 0.0, error_of_mean(shape, tau))
    assert not covers
    assert per_chain < 0.8


DERIVED = [(LONG, 10.0, 250), (FOUR, 10.0, 250), (MANY, 9.5, 250)]


@pytest.mark.parametrize("resample", ["jackknife", "bootstrap"])
@pytest.mark.parametrize(("shape", "tau", "repeats"), DERIVED)
def test_error_bars_of_derived_quantities_cover(resample, shape, tau, repeats):
    def estimate(f, *series, seed):
        if resample == "jackknife":
            return pair(jackknife(f, *series))
        return pair(bootstrap(f, *series, rng=np.random.default_rng(seed), resamples=100))

    runs = [ar1(shape, tau, seed) for seed in range(1000, 1000 + repeats)]
    spread = [estimate(variance, x, x**2, seed=k) for k, x in enumerate(runs)]
    assert verdict(spread, 1.0, error_of_hermite(shape, tau, 2, 1.0))[1]
    # To first order U4 = 1 - x4 / 3 x2^2 of a Gaussian is -He_4 / 3, with a fourth of the autocorrelation time.
    cumulant = [estimate(binder, x**2, x**4, seed=k) for k, x in enumerate(runs)]
    assert verdict(cumulant, 0.0, error_of_hermite(shape, tau, 4, 1 / 3))[1]


def test_jackknife_of_single_draws_in_time_fails_the_same_test():
    # The same draws as if they were independent: one draw a chain, so every block is one draw or a few.
    runs = [ar1(LONG, 10.0, seed).reshape(-1, 1).T for seed in range(200)]
    rng = np.random.default_rng(0)
    naive = [pair(jackknife(variance, y, y**2)) for y in (rng.permutation(x, axis=1) for x in runs)]
    ratio, covers = verdict(naive, 1.0, error_of_hermite(LONG, 10.0, 2, 1.0))
    assert not covers
    assert ratio < 0.5


def test_jackknife_removes_the_bias():
    runs = [np.random.default_rng(seed).standard_normal((4, 32)) for seed in range(400)]
    corrected = np.mean([jackknife(lambda x: x**2, x).value for x in runs])
    plain = np.mean([x.mean() ** 2 for x in runs])
    noise = np.sqrt(2) / 128 / np.sqrt(400)
    assert plain > 1 / 128 - 4 * noise  # the bias is var / N = 1/128, about 14 sigma here
    assert abs(corrected) < 4 * noise


def test_jackknife_of_a_plain_mean_is_the_error_over_chain_means():
    x = ar1(MANY, 9.5, 3)
    by_blocks, direct = jackknife(lambda m: m, x), mean_with_error(x)
    assert by_blocks.value == pytest.approx(direct.value, abs=1e-14)
    assert by_blocks.error == pytest.approx(direct.error, rel=1e-10)
    assert "64 chain means" in direct.method
    assert "64 blocks of whole chains" in by_blocks.method
    assert "Gamma" in mean_with_error(ar1(FOUR, 5.0, 0)).method


@pytest.mark.parametrize("shape", [(500, 1), (250, 4), (40, 50), (5, 2000)])
def test_components_along_further_axes_are_estimated_each_on_its_own(shape):
    x = np.stack([ar1(shape, 5.0, seed) for seed in range(6)], axis=-1)
    x[..., 0] = 1.0  # as G(0) = 1: constant, and no reason to think the run frozen
    together = jackknife(lambda a, b: b - a**2, x, x**2)
    assert together.value.shape == together.error.shape == (6,)
    assert together.value[0] == pytest.approx(0.0, abs=1e-12)
    assert together.error[0] == pytest.approx(0.0, abs=1e-12)
    assert "never" not in together.warning
    if shape[1] >= 32:  # the blocks do not depend on the series there
        alone = jackknife(variance, x[..., 2], x[..., 2] ** 2)
        assert together.value[2] == pytest.approx(alone.value, rel=1e-12)
        assert together.error[2] == pytest.approx(alone.error, rel=1e-9)
    mixed = jackknife(lambda g: g[1:].sum() / g[0], x)
    assert mixed.value == pytest.approx(x[..., 1:].mean(axis=(0, 1)).sum(), rel=1e-9)


@pytest.mark.parametrize(("shape", "tau"), [((20_000, 1), 10.0), ((5_000, 4), 3.0), ((300, 64), 9.5)])
def test_tau_and_its_error(shape, tau):
    found = [tau_int(ar1(shape, tau, seed)) for seed in range(200)]
    values, errors = np.array([(t.value, t.error) for t in found]).T
    assert abs(values.mean() / tau - 1) < 0.04
    assert 0.85 < errors.mean() / values.std() < 1.4
    covered = (np.abs(values - tau) < errors).mean()
    assert 0.58 < covered < 0.86  # Wolff's formula is on the safe side
    assert not any(t.warning for t in found)
    off = (np.abs(values - 1.5 * tau) < errors).mean()  # a time 50 % off is refused
    assert off < 0.1


def test_tau_of_independent_and_of_alternating_draws():
    assert tau_int(np.random.default_rng(0).standard_normal((1000, 10))).value == pytest.approx(0.5, abs=0.05)
    alternating = ar1((20_000, 1), 0.1, 1)  # a = -2/3
    assert tau_int(alternating).value == pytest.approx(0.1, abs=0.02)
    assert effective_sample_size(alternating) > 3 * alternating.size


def test_autocorrelation_function():
    rho = autocorrelation(ar1((2000, 200), 5.0, 0))
    t = np.arange(20)
    assert rho[0] == 1.0
    assert rho.shape == (2000,)
    assert np.abs(rho[:20] - coefficient(5.0) ** t).max() < 0.02


def test_autocorrelation_against_the_double_sum():
    x = np.random.default_rng(5).standard_normal((37, 3)).cumsum(axis=0)
    d = x - x.mean()
    gamma = np.array([(d[: 37 - t] * d[t:]).mean() for t in range(37)])
    assert autocorrelation(x) == pytest.approx(gamma / gamma[0], abs=1e-12)


def test_one_dimension_and_one_chain_are_the_same():
    x = ar1((3000, 1), 4.0, 0)
    assert mean_with_error(x[:, 0]) == mean_with_error(x)
    assert tau_int(x[:, 0].tolist()) == tau_int(x)
    assert tau_int(x.astype(np.float32)).value == pytest.approx(tau_int(x).value, rel=1e-4)


def test_effective_sample_size_agrees_with_arviz():
    x = ar1((5000, 4), 5.0, 2)
    oracle = float(array_stats.ess(x, chain_axis=1, draw_axis=0, method="mean"))
    assert effective_sample_size(x) == pytest.approx(oracle, rel=0.1)
    assert effective_sample_size(x) == pytest.approx(x.size / 10, rel=0.15)


def test_a_short_run_says_so():
    short = ar1((500, 1), 20.0, 0)
    assert "run too short" in tau_int(short).warning
    assert "run too short" in mean_with_error(short).warning
    assert "blocks" in jackknife(lambda m: m, short).warning
    assert mean_with_error(ar1((20_000, 1), 20.0, 0)).warning == ""
    drift = np.arange(20.0)[:, None] + np.zeros(64)
    assert "lower bound" in tau_int(drift + np.random.default_rng(0).standard_normal(64) * 50).warning


def test_frozen_chains_are_told_in_words_without_nan():
    everywhere = mean_with_error(np.full((100, 40), 0.1))
    assert (everywhere.value, everywhere.error) == (pytest.approx(0.1), 0.0)
    assert everywhere.n_effective == 1.0
    assert "never changes" in everywhere.warning
    apart = np.tile(np.random.default_rng(0).standard_normal(40), (100, 1))  # each chain stuck at its own value
    stuck = mean_with_error(apart)
    assert stuck.error == pytest.approx(apart[0].std(ddof=1) / np.sqrt(40))
    assert "lower bound" in stuck.warning
    x = ar1((500, 40), 2.0, 0)
    x[:, 7] = 0.3
    assert "1 of 40 chains never change" in mean_with_error(x).warning
    for series in (np.ones(50), np.ones((50, 3)), np.ones((50, 40)), np.ones((1, 40)), apart, apart[:, :3]):
        found = [mean_with_error(series), jackknife(lambda m: m**2, series)]
        found += [bootstrap(lambda m: m**2, series, rng=np.random.default_rng(0), resamples=10)]
        assert all(np.isfinite([e.value, e.error, e.tau, e.n_effective]).all() and e.warning for e in found)
        assert np.isfinite([binning(series).plateau, tau_int(series).error, *autocorrelation(series)]).all()


def test_few_draws_never_give_nan():
    rng = np.random.default_rng(0)
    for shape in [(2, 1), (3, 1), (2, 2), (1, 2), (1, 40), (2, 40), (5, 3), (7, 31), (2, 2500)]:
        x = rng.standard_normal(shape)
        for e in (mean_with_error(x), jackknife(variance, x, x**2)):
            assert np.isfinite([e.value, e.error, e.tau, e.n_effective]).all()
        assert mean_with_error(x).error > 0


def test_independent_draws_cover():
    rng = np.random.default_rng(1)
    runs = [rng.standard_normal(300) for _ in range(400)]
    assert verdict([pair(independent_mean(x)) for x in runs], 0.0, 1 / np.sqrt(300))[1]
    one_a_chain = [pair(jackknife(variance, x[None, :], x[None, :] ** 2)) for x in runs]
    assert verdict(one_a_chain, 1.0, np.sqrt(2 / 300))[1]
    first = independent_mean(runs[0].reshape(3, 100))
    assert (first.tau, first.n_effective, first.warning, first.method) == (0.5, 300, "", "independent draws")


def test_binning_rises_from_the_naive_error_to_a_plateau():
    runs = [binning(ar1((30_000, 1), 10.0, seed)) for seed in range(100)]
    truth = error_of_mean((30_000, 1), 10.0)
    assert runs[0].lengths.tolist()[:4] == [1, 2, 4, 8]
    assert np.mean([r.errors[0] for r in runs]) == pytest.approx(1 / np.sqrt(30_000), rel=0.02)
    assert np.mean([r.plateau for r in runs]) == pytest.approx(truth, rel=0.06)
    assert all(10 < r.plateau_length < 1000 and not r.warning for r in runs)
    level = 5
    spread = np.std([r.errors[level] for r in runs])
    assert np.mean([r.errors_of_errors[level] for r in runs]) == pytest.approx(spread, rel=0.3)
    assert "no plateau" in binning(np.random.default_rng(0).standard_normal(300).cumsum()).warning
    many = np.mean([binning(ar1(MANY, 9.5, seed)).plateau for seed in range(100)])
    assert many == pytest.approx(error_of_mean(MANY, 9.5), rel=0.08)


@pytest.mark.parametrize("shape", [(100, 4), (101, 4), (200, 7)])
def test_split_rhat_is_that_of_arviz(shape):
    x = ar1(shape, 3.0, 0) + 0.3 * np.arange(shape[1])
    assert split_rhat(x) == pytest.approx(float(array_stats.rhat(x, chain_axis=1, draw_axis=0)), rel=1e-9)


def test_split_rhat_tells_disagreement():
    x = np.random.default_rng(0).standard_normal((500, 4))
    assert split_rhat(x) < 1.01
    assert split_rhat(x + np.arange(4)) > 1.2
    assert split_rhat(x * np.array([1, 1, 1, 4])) > 1.05  # equal means, unequal widths: the folded part
    assert split_rhat(np.linspace(0, 3, 500) + x[:, 0]) > 1.2  # one chain that drifts
    assert split_rhat(np.ones((50, 4))) == 1.0
    assert split_rhat(np.tile(np.arange(4.0), (50, 1))) == np.inf


def test_f_that_is_not_finite_is_told():
    x = ar1(MANY, 2.0, 0)

    def root(m):
        return np.sqrt(m) if m > 0 else np.nan

    assert "not finite" in jackknife(root, x - x.mean()).warning


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_with_error([1.0, np.nan, 2.0]), "finite"),
        (lambda: mean_with_error([1.0]), "at least two draws"),
        (lambda: mean_with_error(3.0), r"shape \(draw,\)"),
        (lambda: mean_with_error(np.zeros((3, 2, 2))), r"shape \(draw,\)"),
        (lambda: mean_with_error(["a", "b"]), "real numbers"),
        (lambda: jackknife(lambda a, b: a, np.zeros((4, 2)), np.zeros((2, 4))), "equal"),
        (lambda: jackknife(lambda: 0.0), "at least one series"),
        (lambda: split_rhat(np.zeros((3, 4))), "at least 4"),
        (lambda: bootstrap(lambda a: a, [1, 2, 3], rng=np.random.default_rng(0), resamples=1), "resamples"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_bootstrap_repeats_with_its_generator():
    x = ar1(FOUR, 5.0, 0)
    first, again = (bootstrap(variance, x, x**2, rng=np.random.default_rng(4)) for _ in range(2))
    assert first == again


def test_short_runs_of_independent_draws_are_not_taken_for_antithetic():
    # Noise alone drives many estimates of tau far below 1/2: error bars would be up to five times too small.
    rng = np.random.default_rng(5)
    z = [(run := mean_with_error(rng.normal(size=(20, 4)))).value / run.error for _ in range(400)]
    assert np.std(z) < 1.2 and np.abs(z).max() < 5
    # A truly antithetic series keeps its small tau: AR(1) with rho = -0.8 has 1/2 - 0.8/1.8 = 0.0556.
    x = np.zeros((20_000, 4))
    for k in range(1, len(x)):
        x[k] = -0.8 * x[k - 1] + rng.normal(size=4)
    assert tau_int(x[100:]).value == pytest.approx(0.0556, abs=0.02)
