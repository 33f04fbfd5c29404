"""Latents against physics: what they measure, the order they show, and what the decoder makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ebmphys.figures.lattices import SPINS
from ebmphys.figures.style import INK, WIDTH, colours, literal, markers, new_figure, plain

_TEMPERATURES = "coolwarm"
_MOST_POINTS = 6000  # in one scatter: more only hide each other


class Curve(Protocol):
    """An order parameter and its susceptibility with errors, (temperature,) each."""

    @property
    def temperature(self) -> Any: ...
    @property
    def order(self) -> Any: ...
    @property
    def order_error(self) -> Any: ...
    @property
    def susceptibility(self) -> Any: ...
    @property
    def susceptibility_error(self) -> Any: ...


def latent_against(quantity: Any, z: Any, temperature: Any, symbol: str = "m") -> Figure:
    """One latent against one quantity, a point a configuration, coloured by temperature; (n,) each."""
    figure = new_figure(WIDTH * 0.55, 4.0)
    axes = _scatter(figure, quantity, z, temperature)
    axes.set_xlabel(symbol)
    axes.set_ylabel("E[z | v]")
    return figure


def latent_plane(z: Any, temperature: Any, latents: tuple[int, int] = (0, 1)) -> Figure:
    """Two latents against each other, a point a configuration, with the circles that hold 1/2 and 0.95 of the prior.

    (n, latent), (n,) -> Figure. Raises ValueError where there are no such latents.
    """
    z = np.asarray(z)
    if z.ndim != 2 or not all(0 <= k < z.shape[1] for k in latents):
        raise ValueError(f"a plane of latents {latents} needs rows of them, got shape {z.shape}")
    figure = new_figure(WIDTH * 0.55, 4.4)
    axes = _scatter(figure, z[:, latents[0]], z[:, latents[1]], temperature)
    turn = np.linspace(0, 2 * np.pi, 200)
    for share in (0.5, 0.95):
        radius = np.sqrt(-2 * np.log(1 - share))
        axes.plot(radius * np.cos(turn), radius * np.sin(turn), color=INK, linewidth=0.8, linestyle=":")
    axes.set_aspect("equal")
    axes.set_xlabel(f"$z_{{{latents[0]}}}$")
    axes.set_ylabel(f"$z_{{{latents[1]}}}$")
    return figure


def latent_order(curves: dict[str, Curve], critical: float | None = None) -> Figure:
    """<|z|> and its susceptibility against temperature, a colour a curve, and a line at the exact T_c.

    Raises ValueError where there is no curve.
    """
    if not curves:
        raise ValueError("no order curves to show")
    figure = new_figure(WIDTH, 3.6)
    order, response = (plain(axes) for axes in figure.subplots(1, 2))
    names = list(curves)
    colour, marker = colours("", names), markers("", names)
    for name, curve in curves.items():
        style: dict[str, Any] = {"color": colour[name], "marker": marker[name], "markersize": 4, "linewidth": 0.8}
        style |= {"elinewidth": 1.2, "capsize": 2, "label": literal(name)}
        order.errorbar(curve.temperature, curve.order, yerr=curve.order_error, **style)
        response.errorbar(curve.temperature, curve.susceptibility, yerr=curve.susceptibility_error, **style)
    order.set_ylabel(r"$\langle |z| \rangle$")
    response.set_ylabel(r"$N (\langle z^2 \rangle - \langle |z| \rangle^2)$")
    for axes in (order, response):
        axes.set_xlabel("T [J/$k_B$]")
        axes.set_ylim(bottom=0)
        if critical is not None:
            axes.axvline(critical, color="#888888", linewidth=0.9, linestyle=":", zorder=0, label="$T_c$ (L → ∞)")
    order.legend(frameon=False, fontsize=8)
    return figure


def strip(means: Any, values: Sequence[float], symbol: str = "z") -> Figure:
    """Expected configurations side by side, each under its value: dark is -1, light is +1, between is undecided.

    (step, rows, columns), (step,) -> Figure. Raises ValueError for a value too many or too few.
    """
    means = np.asarray(means)
    if len(means) != len(values) or not len(means):
        raise ValueError(f"a strip needs one value a configuration, got {len(means)} and {len(values)}")
    side = min(WIDTH / len(means), 1.3)
    figure = new_figure(side * len(means), side + 0.45)
    for axes, shot, value in zip(figure.subplots(1, len(means), squeeze=False)[0], means, values, strict=True):
        axes.imshow(shot, cmap=SPINS, vmin=-1, vmax=1, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color("#999999")
        axes.set_title(f"{symbol} = {value:.3g}", fontsize=8, color=INK)
    return figure


def _scatter(figure: Figure, x: Any, y: Any, temperature: Any) -> Axes:
    axes = plain(figure.add_subplot())
    x, y, temperature = (np.asarray(a) for a in (x, y, temperature))
    # A fixed shuffle: no temperature is drawn over the others as a whole.
    some = np.random.default_rng(0).permutation(len(x))[:_MOST_POINTS]
    points = axes.scatter(x[some], y[some], c=temperature[some], cmap=_TEMPERATURES, s=5, linewidths=0)
    bar = figure.colorbar(points, ax=axes)
    bar.set_label("T [J/$k_B$]", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return axes
