"""Units with a finite number of states: spins, bits and Potts units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus


@dataclass(frozen=True)
class Spin:
    """An Ising spin, x in {-1, +1}: eta = 2h, P(x = +1) = 1 / (1 + exp(-eta))."""

    name: ClassVar[str] = "spin"
    values: ClassVar[tuple[float, ...]] = (-1.0, 1.0)
    n_statistics: ClassVar[int] = 1
    n_parameters: ClassVar[int] = 1

    def statistics(self, x: Tensor) -> Tensor:
        return x

    def natural(self, field: Tensor) -> Tensor:
        return 2 * field

    def draw(self, eta: Tensor, u: Tensor) -> Tensor:
        return (u < torch.sigmoid(eta)).to(eta.dtype).mul_(2).sub_(1)

    def mean(self, eta: Tensor) -> Tensor:
        return torch.tanh(eta / 2)

    def log_partition(self, eta: Tensor) -> Tensor:
        return torch.add(softplus(eta), eta, alpha=-0.5)  # log 2 cosh h, which cosh itself would overflow

    def energy(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


@dataclass(frozen=True)
class Bit:
    """A two-valued unit, x in {0, 1}: eta = h, P(x = 1) = 1 / (1 + exp(-eta))."""

    name: ClassVar[str] = "bit"
    values: ClassVar[tuple[float, ...]] = (0.0, 1.0)
    n_statistics: ClassVar[int] = 1
    n_parameters: ClassVar[int] = 1

    def statistics(self, x: Tensor) -> Tensor:
        return x

    def natural(self, field: Tensor) -> Tensor:
        return field

    def draw(self, eta: Tensor, u: Tensor) -> Tensor:
        return (u < torch.sigmoid(eta)).to(eta.dtype)

    def mean(self, eta: Tensor) -> Tensor:
        return torch.sigmoid(eta)

    def log_partition(self, eta: Tensor) -> Tensor:
        return softplus(eta)

    def energy(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


@dataclass(frozen=True)
class Potts:
    """A Potts spin, x in {0, ..., q - 1}: a field and an eta for each state, P(x = k) = exp(eta_k) / sum exp(eta).

    Its statistics are the indicators of the states (all zero for a value that is none), so adding one number to all
    fields of a site changes nothing but the zero of energy (Wu 1982). Drawn by inverting the cumulated probabilities.
    Raises ValueError for q < 3: two states are a ``Bit``.
    """

    q: int
    name: ClassVar[str] = "potts"

    def __post_init__(self) -> None:
        if not isinstance(self.q, int) or isinstance(self.q, bool) or self.q < 3:
            raise ValueError(f"a Potts unit has q = 3 or more states (two are a Bit), got q = {self.q!r}")

    @property
    def values(self) -> tuple[float, ...]:
        return tuple(map(float, range(self.q)))

    @property
    def n_statistics(self) -> int:
        return self.q

    @property
    def n_parameters(self) -> int:
        return self.q

    def statistics(self, x: Tensor) -> Tensor:
        return (x[..., None] == self._states(x)).to(x.dtype)

    def natural(self, field: Tensor) -> Tensor:
        return field

    def draw(self, eta: Tensor, u: Tensor) -> Tensor:
        edges = eta.softmax(-1).cumsum(-1)[..., :-1]
        return (u[..., None] >= edges).sum(-1).to(eta.dtype)

    def mean(self, eta: Tensor) -> Tensor:
        """The mean number of the state; its probabilities are ``eta.softmax(-1)``."""
        return eta.softmax(-1) @ self._states(eta)

    def log_partition(self, eta: Tensor) -> Tensor:
        return eta.logsumexp(-1)

    def energy(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def _states(self, like: Tensor) -> Tensor:
        return torch.arange(self.q, dtype=like.dtype, device=like.device)
