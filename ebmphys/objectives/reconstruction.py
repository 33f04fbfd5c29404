"""The objective of autoencoders, and the noise that a denoising one learns to undo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ebmphys.objectives.base import set_rng
from ebmphys.rng import uniforms
from ebmphys.units import Gaussian, Unit

Noise = Callable[[Tensor, torch.Generator], Tensor]


class Reconstructs(Protocol):
    """A model with the error of restoring v from what is seen of it, in nats."""

    def reconstruction_error(self, v: Tensor, seen: Tensor) -> Tensor: ...


class BitFlip:
    """Every site turned over with probability p, independently; (*shape) -> (*shape).

    lower <-> upper value of a two-valued unit. Raises ValueError for other units and for p outside 0 to 1/2.
    """

    def __init__(self, unit: Unit, p: float) -> None:
        if len(unit.values) != 2:
            raise ValueError(f"flips are for two-valued units, got {unit.name}")
        if not 0 <= p <= 0.5:
            raise ValueError(f"the probability of a flip is 0 to 0.5 (nothing left), got {p}")
        self.p, self.mirror = p, sum(unit.values)

    def __call__(self, v: Tensor, rng: torch.Generator) -> Tensor:
        return torch.where(uniforms(v.shape, rng).to(v.device) < self.p, self.mirror - v, v)


class Masking:
    """Every site hidden with probability p, independently; (*shape) -> (*shape).

    A hidden site has the value midway between those of a two-valued unit, and 0 of a Gaussian one.
    Raises ValueError for other units and for p outside 0 to 1.
    """

    def __init__(self, unit: Unit, p: float) -> None:
        if len(unit.values) != 2 and not isinstance(unit, Gaussian):
            raise ValueError(f"masking is for two-valued and Gaussian units, got {unit.name}")
        if not 0 <= p <= 1:
            raise ValueError(f"the probability that a site is hidden is 0 to 1, got {p}")
        self.p, self.hidden = p, sum(unit.values) / 2

    def __call__(self, v: Tensor, rng: torch.Generator) -> Tensor:
        return torch.where(uniforms(v.shape, rng).to(v.device) < self.p, self.hidden, v)


class Reconstruction:
    """The mean error of restoring configurations from their codes, in nats per configuration, summed over sites.

    Cross-entropy for two-valued units, squared error over 2 sigma^2 for Gaussian ones. With ``noise``, fresh at every
    call, the code is that of the noisy configuration: a denoising autoencoder (Vincent et al. 2008).
    (batch, n_visible) -> scalar. Raises ValueError for noise without a generator, or a model that does not reconstruct.
    """

    def __init__(self, noise: Noise | None = None, rng: torch.Generator | None = None) -> None:
        if (noise is None) != (rng is None):
            raise ValueError("noise needs a generator to draw from, and a generator a noise")
        self.noise, self.rng = noise, rng

    def __call__(self, model: nn.Module, v: Tensor) -> Tensor:
        return self.error(model, v, self.rng)

    def error(self, model: nn.Module, v: Tensor, rng: torch.Generator | None) -> Tensor:
        """The mean error with noise, where there is any, from another generator than the training's."""
        if not hasattr(model, "reconstruction_error"):
            raise ValueError(f"{type(model).__name__} reconstructs nothing: this objective is for autoencoders")
        restores: Reconstructs = model  # type: ignore[assignment]
        seen = v if self.noise is None or rng is None else self.noise(v, rng)
        return restores.reconstruction_error(v, seen).mean()

    def state_dict(self) -> dict[str, Any]:
        return {} if self.rng is None else {"rng": self.rng.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self.rng is not None:
            set_rng(self.rng, state["rng"])
