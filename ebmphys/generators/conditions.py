"""What a conditional model is told beside the latents: temperatures, fields and labels, and how they enter networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class Number:
    """A real condition, such as a field, of which the data have values from ``lowest`` to ``highest``.

    Raises ValueError unless both are finite and lowest < highest.
    """

    name: ClassVar[str] = "number"
    width: ClassVar[int] = 1
    lowest: float
    highest: float

    def __post_init__(self) -> None:
        if not -float("inf") < self.lowest < self.highest < float("inf"):
            raise ValueError(
                f"a condition needs a finite range, lowest < highest, got {self.lowest} to {self.highest}: "
                f"two values or more must be trained on"
            )

    def features(self, c: Tensor) -> Tensor:
        """c scaled to [-1, 1] over the range; (*batch,) -> (*batch, 1)."""
        return _scaled(c, self.lowest, self.highest)

    def draw(self, u: Tensor) -> Tensor:
        """Values of the condition from uniforms in [0, 1), uniform over the range; (*batch,) -> the same."""
        return self.lowest + (self.highest - self.lowest) * u

    def allowed(self, c: Tensor) -> Tensor:
        """Whether each is a value that the condition can have, in the range or not."""
        return c.isfinite()

    def within(self, c: float) -> bool:
        slack = 1e-6 * (self.highest - self.lowest)  # what single precision does to the ends
        return self.lowest - slack <= c <= self.highest + slack


@dataclass(frozen=True)
class Temperature(Number):
    """A temperature T > 0, which enters as beta = 1 / T scaled to [-1, 1]: log p(v) is linear in beta, not in T."""

    name: ClassVar[str] = "temperature"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lowest <= 0:
            raise ValueError(f"temperatures are positive, got {self.lowest}")

    def features(self, c: Tensor) -> Tensor:
        """beta scaled to [-1, 1] over the range, the lowest temperature at 1; (*batch,) -> (*batch, 1)."""
        return _scaled(1 / c, 1 / self.highest, 1 / self.lowest)

    def allowed(self, c: Tensor) -> Tensor:
        return c.isfinite() & (c > 0)


@dataclass(frozen=True)
class Label:
    """One of ``n`` kinds, numbered from 0; each kind is as likely as any other before the configuration is seen.

    Raises ValueError for fewer than two kinds.
    """

    name: ClassVar[str] = "label"
    n: int

    def __post_init__(self) -> None:
        if self.n < 2:
            raise ValueError(f"labels need 2 or more kinds, got {self.n}")

    @property
    def width(self) -> int:
        return self.n

    def features(self, c: Tensor) -> Tensor:
        """One-hot; (*batch,) -> (*batch, n)."""
        return (c[..., None] == torch.arange(self.n, device=c.device)).to(c.dtype)

    def draw(self, u: Tensor) -> Tensor:
        """Labels from uniforms in [0, 1); (*batch,) -> the same."""
        return (u * self.n).floor()

    def allowed(self, c: Tensor) -> Tensor:
        return (c == c.round()) & (c >= 0) & (c < self.n)

    def within(self, c: float) -> bool:
        return 0 <= c < self.n


Condition = Number | Label
KINDS: dict[str, type[Number] | type[Label]] = {kind.name: kind for kind in (Number, Temperature, Label)}


def condition_config(condition: Condition) -> dict[str, Any]:
    """The condition as plain data, from which ``build_condition`` makes it again."""
    return {"condition": condition.name} | asdict(condition)


def build_condition(config: Mapping[str, Any]) -> Condition:
    """The condition that plain data describe; raises ValueError for a kind that it does not know."""
    options = dict(config)
    name = options.pop("condition", None)
    if name not in KINDS:
        raise ValueError(f"a condition must be one of {', '.join(KINDS)}, got {name!r}")
    return KINDS[name](**options)


def _scaled(x: Tensor, lowest: float, highest: float) -> Tensor:
    return ((2 * x - lowest - highest) / (highest - lowest))[..., None]
