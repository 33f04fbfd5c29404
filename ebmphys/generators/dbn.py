"""The deep belief net: an RBM on top, and layers generated from it downwards."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.energies.rbm import RBM
from ebmphys.generators.base import IndependentModel, log_density
from ebmphys.rng import default_device, uniforms
from ebmphys.units import Spin, Unit, build_unit, unit_config


class DeepBeliefNet(IndependentModel):
    """p(x_0, ..., x_L) = p(x_0 | x_1) ... p(x_(L-2) | x_(L-1)) p_top(x_(L-1), x_L) (Hinton, Osindero and Teh 2006).

    Layer 0 is visible and ``layers`` are the sizes of the hidden ones. The last two are an RBM, ``top``; given the
    layer above the units of any lower one are independent, with log-odds linear in it. Recognition weights say the same
    of a layer given the one below, an approximation that the law itself does not need. ``visible`` and ``hidden`` are
    the units, spins unless told. Without ``biases`` all stay zero, and a net of spins has p(-v) = p(v). Weights start
    as N(0, scale^2 / size of the layer below) where a generator is given, at zero where not.
    Raises ValueError for fewer than two hidden layers, layers without units, hidden units that are not two-valued and
    visible ones with more than one number each.
    """

    def __init__(
        self,
        n_visible: int,
        layers: Sequence[int],
        visible: Unit | None = None,
        hidden: Unit | None = None,
        *,
        biases: bool = True,
        rng: torch.Generator | None = None,
        scale: float = 0.1,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.n_visible, self.sizes = n_visible, (n_visible, *layers)
        self.visible: Unit = Spin() if visible is None else visible
        self.hidden: Unit = Spin() if hidden is None else hidden
        if len(self.sizes) < 3 or min(self.sizes) < 1:
            raise ValueError(f"a belief net needs 2 or more hidden layers of 1 or more units, got {list(layers)}")
        if len(self.hidden.values) != 2 or self.visible.n_statistics > 1:
            raise ValueError(
                f"a belief net needs two-valued hidden units and visible ones with one number each, got "
                f"{self.hidden.name} and {self.visible.name}"
            )
        place = default_device() if device is None else torch.device(device)
        self.biases = biases
        ends, unit = self.sizes[-2:], self.hidden
        self.top = RBM(ends[0], ends[1], unit, unit, biases=biases, rng=rng, scale=scale, device=place)
        self.down_weights, self.down_bias = nn.ParameterList(), nn.ParameterList()
        self.up_weights, self.up_bias = nn.ParameterList(), nn.ParameterList()
        for below, above in pairwise(self.sizes[:-1]):
            w = torch.zeros(below, above, device=place)
            if rng is not None:
                w = torch.randn(below, above, generator=rng, device=rng.device).to(place) * (scale / below**0.5)
            self.down_weights.append(nn.Parameter(w))
            self.down_bias.append(nn.Parameter(torch.zeros(below, device=place), requires_grad=biases))
            self.up_weights.append(nn.Parameter(w.clone()))
            self.up_bias.append(nn.Parameter(torch.zeros(above, device=place), requires_grad=biases))

    @classmethod
    def from_rbms(cls, rbms: Sequence[RBM]) -> DeepBeliefNet:
        """The net of RBMs trained greedily, each on hidden units of the one before; the last one becomes the top.

        Each RBM's weights serve downwards and upwards. Raises ValueError where neighbours do not fit.
        """
        fits = len(rbms) > 1 and all(a.n_hidden == b.n_visible and a.hidden == b.visible for a, b in pairwise(rbms))
        if not fits or any(rbm.hidden != rbms[0].hidden for rbm in rbms):
            raise ValueError("a belief net is made of 2 or more RBMs, the hidden units of each the visible of the next")
        sizes = [rbm.n_hidden for rbm in rbms]
        if rbms[0].visible_log_precision is not None:
            raise ValueError("a belief net's visible units have a fixed sigma, those of the first RBM a learned one")
        biases = any(rbm.biases for rbm in rbms)
        net = cls(rbms[0].n_visible, sizes, rbms[0].visible, rbms[0].hidden, biases=biases, device=rbms[0].device)
        with torch.no_grad():
            net.top.load_state_dict(rbms[-1].state_dict())
            for k, rbm in enumerate(rbms[:-1]):
                net.down_weights[k].copy_(rbm.weights)
                net.up_weights[k].copy_(rbm.weights)
                net.down_bias[k].copy_(rbm.visible_bias)
                net.up_bias[k].copy_(rbm.hidden_bias)
        return net

    @property
    def visible_unit(self) -> Unit:
        return self.visible

    @property
    def config(self) -> dict[str, Any]:
        return {
            "model": "dbn",
            "n_visible": self.n_visible,
            "layers": list(self.sizes[1:]),
            "visible": unit_config(self.visible),
            "hidden": unit_config(self.hidden),
            "biases": self.biases,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DeepBeliefNet:
        units = (build_unit(config["visible"]), build_unit(config["hidden"]))
        return cls(config["n_visible"], config["layers"], *units, biases=config["biases"])

    def below(self, layer: int, x: Tensor) -> Tensor:
        """Natural parameters of the units of a layer given the one above, x; (*batch, size above) -> (*batch, size)."""
        return self._unit(layer).natural(x @ self.down_weights[layer].T + self.down_bias[layer])

    def above(self, layer: int, x: Tensor) -> Tensor:
        """Natural parameters, by recognition, of the layer above given this one; (*batch, size) -> (*batch, size)."""
        return self.hidden.natural(x @ self.up_weights[layer] + self.up_bias[layer])

    @torch.no_grad()
    def downwards(self, x: Tensor, rng: torch.Generator) -> list[Tensor]:
        """Layers 0, 1, ..., L - 1 drawn from layer L - 1 down; (*batch, sizes[-2]) -> each (*batch, size)."""
        layers = [x]
        for k in reversed(range(len(self.down_weights))):
            shape = (*x.shape[:-1], self.sizes[k])
            layers.insert(0, self._unit(k).draw(self.below(k, layers[0]), uniforms(shape, rng)))
        return layers

    @torch.no_grad()
    def upwards(self, v: Tensor, rng: torch.Generator) -> list[Tensor]:
        """Layers 0, 1, ..., L - 1 drawn by recognition from v up; (*batch, n_visible) -> each (*batch, size)."""
        layers = [v]
        for k in range(len(self.up_weights)):
            shape = (*v.shape[:-1], self.sizes[k + 1])
            layers.append(self.hidden.draw(self.above(k, layers[-1]), uniforms(shape, rng)))
        return layers

    def log_generated(self, layers: Sequence[Tensor]) -> Tensor:
        """log p(x_0 | x_1) + ... + log p(x_(L-2) | x_(L-1)), in nats; -> (*batch,)."""
        terms = [log_density(self._unit(k), x, self.below(k, up)).sum(-1) for k, (x, up) in enumerate(pairwise(layers))]
        return torch.stack(terms).sum(0)

    def log_recognised(self, layers: Sequence[Tensor]) -> Tensor:
        """log r(x_1 | x_0) + ... + log r(x_(L-1) | x_(L-2)), in nats; -> (*batch,)."""
        terms = [log_density(self.hidden, up, self.above(k, x)).sum(-1) for k, (x, up) in enumerate(pairwise(layers))]
        return torch.stack(terms).sum(0)

    @torch.no_grad()
    def draw(self, n: int, rng: torch.Generator, top_steps: int = 1000) -> Tensor:
        """n configurations: ``top_steps`` sweeps of n chains of the top RBM from noise, then downwards.

        -> (n, n_visible). Independent of each other; from the net's law as far as the top RBM forgets its start in so
        many sweeps. Raises ValueError for counts below 1, or where model and generator are on different devices.
        """
        if n < 1 or top_steps < 1:
            raise ValueError(f"draws and top_steps must be 1 or more, got {n} and {top_steps}")
        if self.device.type != rng.device.type:
            raise ValueError(
                f"the model is on {self.device.type} and the generator on {rng.device.type}: make both on one"
            )
        lower, upper = self.hidden.values
        x = (uniforms((n, self.top.n_sites), rng) < 0.5) * (upper - lower) + lower
        for _ in range(top_steps):
            for name, sites in self.top.blocks.items():
                x[:, sites] = self.hidden.draw(self.top.conditional(x, name), uniforms(x[:, sites].shape, rng))
        return self.downwards(x[:, : self.top.n_visible], rng)[0]

    def _unit(self, layer: int) -> Unit:
        return self.hidden if layer else self.visible
