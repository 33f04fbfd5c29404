"""Autoencoders: a configuration through a narrow code and back. They restore and compress; they are no law."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, linear

from ebmphys.energies.networks import started
from ebmphys.rng import default_device, generator
from ebmphys.units import Gaussian, Spin, Unit, build_unit, unit_config


class Layer(nn.Module):
    """One layer of an autoencoder: fields on the units above given those below, and the other way.

    Tied weights serve both ways (the lower fields are the upper units through the transposed matrix), free ones have a
    matrix of their own for the way down.
    """

    def __init__(self, below: int, above: int, tied: bool, rng: torch.Generator, device: torch.device) -> None:
        super().__init__()
        self.up = nn.utils.skip_init(nn.Linear, below, above, device=device)
        started(self.up, rng)
        self.down_bias = nn.Parameter(torch.zeros(below, device=device))
        self.down_weight: nn.Parameter | None = None
        if not tied:
            # The same start: a layer is then at first the tied one, whose way back is already roughly right.
            self.down_weight = nn.Parameter(self.up.weight.detach().T.clone(memory_format=torch.contiguous_format))

    def upwards(self, x: Tensor) -> Tensor:
        """Fields on the layer above; (*batch, below) -> (*batch, above)."""
        fields: Tensor = self.up(x)
        return fields

    def downwards(self, h: Tensor) -> Tensor:
        """Fields on the layer below; (*batch, above) -> (*batch, below)."""
        weight = self.up.weight.T if self.down_weight is None else self.down_weight
        return linear(h, weight, self.down_bias)


class Autoencoder(nn.Module):
    """A configuration to a code of ``layers[-1]`` numbers and back, through hidden layers of the sizes before.

    Hidden units are mean spins, tanh of their field; the code is linear. Fewer numbers than sites make it compress
    (undercomplete); where it learns to restore what noise has taken (``Reconstruction`` with noise), as many or more
    do no harm. ``tied`` weights serve both ways. Sites are two-valued or Gaussian; those of a two-valued unit that are
    not known have the value midway between the two. One layer with a Gaussian unit is principal component analysis.

    An autoencoder is no law: it has no likelihood and no ``draw``. Weights are drawn from ``rng``, or from a stream of
    their own where none is given. Raises ValueError for sizes below 1, no layers, or other units.
    """

    def __init__(
        self,
        n_visible: int,
        layers: Sequence[int] = (64, 8),
        unit: Unit | None = None,
        *,
        tied: bool = False,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.n_visible, self.sizes, self.tied = n_visible, (n_visible, *layers), tied
        self.unit: Unit = Spin() if unit is None else unit
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise ValueError(f"an autoencoder needs 1 or more layers of 1 or more units, got {list(layers)}")
        if len(self.unit.values) != 2 and not isinstance(self.unit, Gaussian):
            raise ValueError(f"an autoencoder has two-valued or Gaussian visible units, got {self.unit.name}")
        place = default_device() if device is None else torch.device(device)
        stream = generator(0, "autoencoder", "weights", device="cpu") if rng is None else rng
        self.layers = nn.ModuleList(Layer(below, above, tied, stream, place) for below, above in pairwise(self.sizes))

    @property
    def visible_unit(self) -> Unit:
        """The unit that every visible site shares."""
        return self.unit

    @property
    def config(self) -> dict[str, Any]:
        """Plain data (JSON) from which ``from_config`` makes the same model, parameters apart."""
        return {
            "model": "autoencoder",
            "n_visible": self.n_visible,
            "layers": list(self.sizes[1:]),
            "unit": unit_config(self.unit),
            "tied": self.tied,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Autoencoder:
        return cls(config["n_visible"], config["layers"], build_unit(config["unit"]), tied=config["tied"])

    @property
    def device(self) -> torch.device:
        """Where the model's numbers are."""
        return next(self.parameters()).device

    @property
    def stack(self) -> list[Layer]:
        """The layers from the lowest up."""
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def features(self, v: Tensor) -> Tensor:
        """Two-valued sites as -1 and +1, 0 where not known, Gaussian ones as they are; (*shape) -> (*shape)."""
        x = v.to(next(self.parameters()).dtype)
        if len(self.unit.values) != 2:
            return x
        lower, upper = self.unit.values
        return (2 * x - lower - upper) / (upper - lower)

    def encode(self, v: Tensor) -> Tensor:
        """The code; (*batch, n_visible) -> (*batch, layers[-1])."""
        *inner, last = self.stack
        x = self.features(v)
        for layer in inner:
            x = layer.upwards(x).tanh()
        return last.upwards(x)

    def decode(self, code: Tensor) -> Tensor:
        """Natural parameters of the visible units; (*batch, layers[-1]) -> (*batch, n_visible[, n_parameters])."""
        *inner, last = self.stack
        x = last.downwards(code)
        for layer in reversed(inner):
            x = layer.downwards(x.tanh())
        if isinstance(self.unit, Gaussian):
            return self.unit.natural(x / self.unit.sigma**2)
        return 2 * x

    def reconstruct(self, v: Tensor) -> Tensor:
        """The mean of every site given the code of v; (*batch, n_visible) -> (*batch, n_visible)."""
        return self.unit.mean(self.decode(self.encode(v)))

    @torch.no_grad()
    def denoise(self, v: Tensor) -> Tensor:
        """The likeliest value of every site given the code of v; (*batch, n_visible) -> (*batch, n_visible).

        Of a model that has learned to restore, this is the configuration without its noise, as far as the code tells.
        Sites that are not known are filled in.
        """
        eta = self.decode(self.encode(v))
        if len(self.unit.values) != 2:
            return self.unit.mean(eta)
        lower, upper = self.unit.values
        return torch.where(eta > 0, upper, lower).to(eta.dtype)

    def reconstruction_error(self, v: Tensor, seen: Tensor) -> Tensor:
        """-log of the density of v given the code of what was seen of it, in nats, summed over sites.

        Two-valued sites: the cross-entropy; Gaussian ones: sum (v - mean)^2 / 2 sigma^2, without the constant.
        (*batch, n_visible), (*batch, n_visible) -> (*batch,). Raises ValueError for a v that the units cannot be.
        """
        values = self.unit.values
        if values and not bool(((v == values[0]) | (v == values[1])).all()):
            raise ValueError(f"the model's visible units take the values {list(values)}, the data hold others")
        eta = self.decode(self.encode(seen))
        if isinstance(self.unit, Gaussian):
            return ((v - self.unit.mean(eta)) ** 2).sum(-1) / (2 * self.unit.sigma**2)
        return _cross_entropy(self.features(v), eta)


class SingleLayer(nn.Module):
    """One layer of an autoencoder as an autoencoder of its own, of what the layers below make of the data.

    It shares that layer's parameters with the whole model; those below stay as they are. What it restores is the data
    in the lowest layer, and mean spins, tanh of the fields, above. Raises ValueError for a layer that the model does
    not have.
    """

    def __init__(self, model: Autoencoder, number: int) -> None:
        super().__init__()
        if not 0 <= number < len(model.layers):
            raise ValueError(f"layer must be 0 to {len(model.layers) - 1}, got {number}")
        self.n_visible, self.layer = model.n_visible, model.stack[number]
        self.last = number == len(model.layers) - 1
        self._whole = (model, number)  # in a tuple, so that the other layers are no parameters of this one

    @property
    def visible_unit(self) -> Unit:
        return self._whole[0].visible_unit

    @torch.no_grad()
    def below(self, v: Tensor) -> Tensor:
        """What this layer reads; (*batch, n_visible) -> (*batch, units below)."""
        model, number = self._whole
        x = model.features(v)
        for layer in model.stack[:number]:
            x = layer.upwards(x).tanh()
        return x

    def reconstruction_error(self, v: Tensor, seen: Tensor) -> Tensor:
        """As that of an autoencoder; of mean spins m the cross-entropy with probabilities (1 + m)/2 of +1.

        (*batch, n_visible), (*batch, n_visible) -> (*batch,)
        """
        h = self.layer.upwards(self.below(seen))
        fields = self.layer.downwards(h if self.last else h.tanh())
        model, number = self._whole
        if number == 0 and isinstance(model.unit, Gaussian):
            return ((v - fields) ** 2).sum(-1) / (2 * model.unit.sigma**2)
        return _cross_entropy(self.below(v), 2 * fields)


def _cross_entropy(m: Tensor, eta: Tensor) -> Tensor:
    """-sum_i [(1 + m_i)/2 log P(+1) + (1 - m_i)/2 log P(-1)] at log-odds eta; (*batch, n), (*batch, n) -> (*batch,)."""
    return binary_cross_entropy_with_logits(eta, (1 + m) / 2, reduction="none").sum(-1)
