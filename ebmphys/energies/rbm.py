"""The restricted Boltzmann machine: every visible unit bound to every hidden one, none to its own layer."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ebmphys.energies.two_layers import Couplings, TwoLayers
from ebmphys.rng import default_device
from ebmphys.units import Quadratic, Spin, Unit, build_unit, unit_config


class RBM(TwoLayers):
    """E(v, h) = -a.s(v) - b.t(h) - s(v).W t(h) + sum of the units' own energies (Smolensky 1986, Hinton 2002).

    Any units on either side; s and t are x itself, or the indicators of the q states of Potts units, so that W is
    (n_visible m, n_hidden m') with m, m' = q there and 1 elsewhere. Real units on both sides need weights small enough
    for Z to exist: |W|^2 < 1/(sigma_v sigma_h)^2 for Gaussians. ``learn_sigma`` gives each Gaussian or ReLU unit a
    width that is learned, as log 1/sigma^2 (of a hidden unit it only sets the scale of h). Without ``biases`` a and b
    stay zero, and a machine of spins (or Gaussian units) has the Z2 symmetry E(-v, -h) = E(v, h) exactly. Weights
    start as N(0, scale^2 / n_visible) where a generator is given, at zero where not.
    Raises ValueError for layers without units, or ``learn_sigma`` where no unit has a sigma.
    """

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        visible: Unit | None = None,
        hidden: Unit | None = None,
        *,
        biases: bool = True,
        learn_sigma: bool = False,
        rng: torch.Generator | None = None,
        scale: float = 0.1,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        if n_visible < 1 or n_hidden < 1:
            raise ValueError(f"an RBM needs visible and hidden units, got {n_visible} and {n_hidden}")
        place = default_device() if device is None else torch.device(device)
        self.n_visible, self.n_hidden, self.n_sites = n_visible, n_hidden, n_visible + n_hidden
        self.visible: Unit = Spin() if visible is None else visible
        self.hidden: Unit = Spin() if hidden is None else hidden
        rows, columns = n_visible * self.visible.n_statistics, n_hidden * self.hidden.n_statistics
        weights = torch.zeros(rows, columns, device=place)
        if rng is not None:
            noise = torch.randn(rows, columns, generator=rng, device=rng.device)
            weights = noise.to(place) * (scale / n_visible**0.5)
        self.weights = nn.Parameter(weights)
        self.biases, self.learn_sigma = biases, learn_sigma
        self.visible_bias = nn.Parameter(torch.zeros(rows, device=place), requires_grad=biases)
        self.hidden_bias = nn.Parameter(torch.zeros(columns, device=place), requires_grad=biases)
        if learn_sigma and not any(isinstance(unit, Quadratic) for unit in (self.visible, self.hidden)):
            raise ValueError(f"no unit has a sigma to learn: the layers are {self.visible.name} and {self.hidden.name}")
        self.visible_log_precision = _log_precision(self.visible, n_visible, place) if learn_sigma else None
        self.hidden_log_precision = _log_precision(self.hidden, n_hidden, place) if learn_sigma else None

    @property
    def config(self) -> dict[str, Any]:
        return {
            "model": "rbm",
            "n_visible": self.n_visible,
            "n_hidden": self.n_hidden,
            "visible": unit_config(self.visible),
            "hidden": unit_config(self.hidden),
            "biases": self.biases,
            "learn_sigma": self.learn_sigma,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RBM:
        units = (build_unit(config["visible"]), build_unit(config["hidden"]))
        options = {"biases": config["biases"], "learn_sigma": config.get("learn_sigma", False)}
        return cls(config["n_visible"], config["n_hidden"], *units, **options)

    def couplings(self) -> Couplings:
        return Couplings(self.weights, self.visible_bias, self.hidden_bias)

    def visible_fields(self) -> Tensor:
        return self.visible_bias

    def hidden_field(self, s: Tensor) -> Tensor:
        return linear(s, self.weights.T, self.hidden_bias)

    def visible_field(self, t: Tensor) -> Tensor:
        return linear(t, self.weights, self.visible_bias)


def exchanged(machine: TwoLayers) -> RBM:
    """The RBM with the same law and log Z whose visible layer is the machine's hidden one, as a copy.

    What is summed out in closed form and what one by one changes places: the smaller side can be enumerated.
    """
    learned = (machine.hidden_log_precision, machine.visible_log_precision)
    turned = RBM(
        machine.n_hidden,
        machine.n_visible,
        machine.hidden,
        machine.visible,
        learn_sigma=any(numbers is not None for numbers in learned),
        device=machine.device,
    )
    given = machine.couplings()
    with torch.no_grad():
        turned.to(given.weights.dtype)
        turned.weights.copy_(given.weights.T)
        turned.visible_bias.copy_(given.hidden_bias)
        turned.hidden_bias.copy_(given.visible_bias)
        for own, numbers in zip((turned.visible_log_precision, turned.hidden_log_precision), learned, strict=True):
            if own is not None and numbers is not None:
                own.copy_(numbers)
    return turned


def _log_precision(unit: Unit, n: int, place: torch.device) -> nn.Parameter | None:
    if not isinstance(unit, Quadratic):
        return None
    return nn.Parameter(torch.full((n,), -2 * math.log(unit.sigma), device=place))
