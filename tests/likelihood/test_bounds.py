"""ELBO <= IWAE-K <= log p: the order, the error bars, and the figure."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from ebmphys import figures
from ebmphys.generators import MADE
from ebmphys.likelihood import bound_curve, log_likelihood
from tests.likelihood.builders import rng, vae

LEVELS = (1, 4, 16, 256)


def poor_encoder(latent=2):
    model = vae(latent=latent)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter *= 0.3
    return model


def in_order(value, error, exact):
    rises = [
        high - low > -4 * np.hypot(e, f) for low, high, e, f in zip(value, value[1:], error, error[1:], strict=False)
    ]
    return all(rises) and all(one < exact + 4 * e for one, e in zip(value, error, strict=True))


def test_the_curve_rises_from_the_elbo_to_the_likelihood():
    model = poor_encoder()
    v = model.draw(200, rng("v"))
    curve = bound_curve(model, v, rng("curve"), LEVELS)
    log_q = log_likelihood(model, v)
    assert curve.exact == pytest.approx(float(log_q.mean()))
    assert curve.data_error == pytest.approx(float(log_q.std()) / 200**0.5)
    assert in_order(curve.value, curve.error, curve.exact)
    assert curve.exact - curve.value[0] > 0.1 > curve.exact - curve.value[-1] and curve.draws == LEVELS
    with torch.no_grad():
        elbo = model.elbo(v, torch.randn(2000, 200, 2, generator=rng("elbo"))).mean()
    assert curve.value[0] == pytest.approx(float(elbo), abs=5 * curve.error[0])
    # Controls: a likelihood that is a tenth too small, and a curve the wrong way round, are seen.
    assert not in_order(curve.value, curve.error, curve.exact - 0.1)
    assert not in_order(curve.value[::-1], curve.error[::-1], curve.exact)


def test_the_error_is_how_far_repeated_curves_scatter():
    model = poor_encoder()
    v = model.draw(100, rng("v"))
    runs = [bound_curve(model, v, rng("scatter", k), (1, 8)) for k in range(60)]
    for level in range(2):
        scatter = np.std([run.value[level] for run in runs], ddof=1)
        error = np.sqrt(np.mean([run.error[level] ** 2 for run in runs]))
        assert 0.75 < scatter / error < 1.3


def test_with_many_latents_there_is_only_the_bound():
    model = poor_encoder(3)
    curve = bound_curve(model, model.draw(50, rng("v")), rng("curve"), (1, 16))
    assert curve.exact is None and curve.value[0] < curve.value[1] and 0 < curve.data_error < 1


def test_the_figure_holds_the_curve_and_the_likelihood():
    model = poor_encoder()
    curve = bound_curve(model, model.draw(50, rng("v")), rng("curve"), LEVELS)
    other = asdict(curve) | {"exact": None}
    axes = figures.bounds({"two latents": asdict(curve), "cost $5": other}).axes[0]
    line, _, (bars,) = axes.containers[0]
    assert axes.get_xscale() == "log" and line.get_xdata().tolist() == list(LEVELS)
    assert np.allclose(line.get_ydata(), curve.value)
    assert np.allclose([np.ptp(s[:, 1]) / 2 for s in bars.get_segments()], curve.error)
    exact = next(line for line in axes.lines if "exact" in str(line.get_label()))
    assert np.allclose(exact.get_ydata(), curve.exact) and len(axes.containers) == 2
    assert figures.png(figures.bounds({"a": asdict(curve)}), dpi=30).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="at least one curve"):
        figures.bounds({})
    with pytest.raises(ValueError, match="each of its 1 draws"):
        figures.bounds({"a": other | {"draws": (1,)}})


def test_bad_input_is_refused():
    model = poor_encoder()
    v = model.draw(5, rng("v"))
    with pytest.raises(ValueError, match="rows of 9 sites"):
        bound_curve(model, v[:, :3], rng())
    for options in ({"draws": ()}, {"repeats": 1}):
        with pytest.raises(ValueError, match="one or more K and 2 or more repeats"):
            bound_curve(model, v, rng(), **options)
    with pytest.raises(ValueError, match="1 or more draws"):
        bound_curve(model, v, rng(), (0,))


def test_a_model_without_latents_is_refused():
    with pytest.raises(ValueError, match="a MADE has no such bounds"):
        bound_curve(MADE(4, (3,), device="cpu"), torch.ones(3, 4), rng("x"))
