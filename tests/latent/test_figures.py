"""Figures of latents: what is drawn is what was given."""

import numpy as np
import pytest

from ebmphys.figures import latent_against, latent_order, latent_plane, png, strip
from ebmphys.latent import OrderCurve

T = np.linspace(1, 4, 40)


def test_a_scatter_has_a_point_a_configuration_and_its_temperature():
    m, z = np.tanh(3 - T), 2 * np.tanh(3 - T) + 0.1
    points = latent_against(m, z, T).axes[0].collections[0]
    order = np.argsort(points.get_array())
    np.testing.assert_allclose(points.get_offsets()[order], np.stack([m, z], 1))
    np.testing.assert_allclose(points.get_array()[order], T)
    assert len(latent_against(*np.ones((3, 20_000))).axes[0].collections[0].get_offsets()) < 20_000


def test_the_plane_shows_the_latents_named_and_the_priors_circles():
    z = np.stack([T, T**2, -T], 1)
    axes = latent_plane(z, T, (2, 1)).axes[0]
    assert axes.get_xlabel() == "$z_{2}$" and axes.get_ylabel() == "$z_{1}$"
    offsets = axes.collections[0].get_offsets()
    np.testing.assert_allclose(offsets[:, 0] ** 2, offsets[:, 1])
    radii = sorted(np.hypot(*line.get_data()).mean() for line in axes.lines)
    draws = np.random.default_rng(0).standard_normal((100_000, 2))
    shares = [(np.hypot(*draws.T) < radius).mean() for radius in radii]
    assert shares == pytest.approx([0.5, 0.95], abs=0.01)
    with pytest.raises(ValueError, match="plane of latents"):
        latent_plane(z[:, :1], T)


def test_order_and_susceptibility_have_error_bars_and_a_line_at_the_exact_temperature():
    curve = OrderCurve(T, 4 - T, 0.01 * T, T * (4 - T), 0.1 * T)
    figure = latent_order({"L = 16": curve}, critical=2.269)
    for axes, y in zip(figure.axes, (curve.order, curve.susceptibility), strict=True):
        np.testing.assert_allclose(axes.containers[0][0].get_ydata(), y)
        assert [2.269, 2.269] in [list(line.get_xdata()) for line in axes.lines]
    assert len(latent_order({"L = 16": curve}).axes[0].lines) < len(figure.axes[0].lines)
    assert png(figure)[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="no order curves"):
        latent_order({})


def test_a_strip_shows_each_mean_under_its_value():
    means = np.linspace(-1, 1, 5)[:, None, None] * np.ones((5, 4, 4))
    figure = strip(means, [-2, -1, 0, 1, 2])
    assert [axes.get_title() for axes in figure.axes] == ["z = -2", "z = -1", "z = 0", "z = 1", "z = 2"]
    for axes, mean in zip(figure.axes, means, strict=True):
        np.testing.assert_allclose(axes.images[0].get_array(), mean)
    with pytest.raises(ValueError, match="one value a configuration"):
        strip(means, [1, 2])
