"""What every discrete diffusion has: a noising process in T steps, a network that guesses what was there, a bound."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ebmphys.generators.base import IndependentModel
from ebmphys.generators.site_networks import site_network
from ebmphys.rng import default_device, generator, uniforms
from ebmphys.units import Spin, Unit, build_unit, unit_config

DEFAULT_NETWORK = {"kind": "mlp", "hidden": [256, 256]}
_LAST = 1 - 2.0**-24  # of the uniforms' grid


class Diffusion(IndependentModel):
    """q(v) = sum over x_1 ... x_T of q(x_T) q(x_(T-1) | x_T) ... q(v | x_1): a known noising process, run backwards.

    Noise acts on every site for itself (Austin et al. 2021), so with x_0 = v the law of x_t and that of x_(t-1) given
    x_t and x_0 are known, p say. A network guesses every site of x_0 from the whole of x_t, and the step backwards is
    q(x_(t-1) | x_t) = prod_i sum over x_0i of p(x_(t-1)i | x_ti, x_0i) guess(x_0i | x_t): sites are independent within
    a step, so that even with the best guesses q is the data's law only as T grows. log q(v) is bounded, not known.
    In here a site is -1 or +1, or 0 where nothing is known of it, whatever the unit's values; data may be -1/+1 or 0/1.
    ``symmetric`` makes the guesses odd in x_t, and with them q(-v) = q(v). Weights are drawn from ``rng``, or from
    a stream of their own where none is given.
    Raises ValueError for units that are not two-valued, fewer than one step, and networks that there are not.
    """

    name: ClassVar[str]
    symbols: ClassVar[tuple[float, ...]]  # what a site of x_t may be
    reads: ClassVar[tuple[int, int]]  # fields and shared numbers that the network reads
    steps: int | None

    def __init__(
        self,
        n_visible: int,
        steps: int | None,
        network: Mapping[str, Any] = DEFAULT_NETWORK,
        unit: Unit | None = None,
        *,
        symmetric: bool = False,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.n_visible, self.steps, self.symmetric = n_visible, steps, symmetric
        self.unit: Unit = Spin() if unit is None else unit
        if n_visible < 1 or (steps is not None and steps < 1):
            raise ValueError(f"a diffusion has 1 or more sites and steps, got {n_visible} and {steps}")
        if len(self.unit.values) != 2:
            raise ValueError(f"a diffusion has two-valued units, got {self.unit.name}")
        place = default_device() if device is None else torch.device(device)
        stream = generator(0, self.name, "weights", device="cpu") if rng is None else rng
        self.architecture = dict(network)
        self.network: nn.Module = site_network(self.architecture, n_visible, *self.reads, stream, place)

    @property
    def visible_unit(self) -> Unit:
        return self.unit

    @property
    def config(self) -> dict[str, Any]:
        return {
            "model": self.name,
            "n_visible": self.n_visible,
            "steps": self.steps,
            "network": self.architecture,
            "unit": unit_config(self.unit),
            "symmetric": self.symmetric,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        unit = build_unit(config["unit"])
        return cls(config["n_visible"], config["steps"], config["network"], unit, symmetric=config["symmetric"])

    @abstractmethod
    def elbo(self, v: Tensor, noise: Tensor) -> Tensor:
        """T times the term of one random step of the evidence lower bound of log q(v), in nats, total.

        -sum_t E KL(p(x_(t-1) | x_t, v) || q(x_(t-1) | x_t)), t from the first of the noise's numbers, x_t from the
        others. (batch, n_visible), ([draws,] batch, 1 + n_visible) -> ([draws,] batch). Its mean over the noise is
        the bound; a single one may be above log q(v). Austin et al. (2021).
        """

    @abstractmethod
    def log_weights(self, v: Tensor, rng: torch.Generator) -> Tensor:
        """log of q(v, x_1 ... x_T) / p(x_1 ... x_T | v) for one noising of each configuration, in nats.

        (*batch, n_visible) -> (*batch,). The mean of the weights over noisings is q(v), without bias; that of their
        logarithms is the evidence lower bound.
        """

    @abstractmethod
    def transition(self, x: Tensor, t: int, s: int) -> Tensor:
        """The probability of each symbol at each site of x_s given x_t, s < t; (*batch, n) -> (*batch, n, symbols)."""

    @abstractmethod
    def draw(self, n: int, rng: torch.Generator, steps: int | None = None) -> Tensor:
        """n configurations, from noise backwards; -> (n, n_visible).

        In fewer ``steps`` it is faster and another law, further from the data's. Raises ValueError for n < 1, more
        steps than the model has, or where model and generator are on different devices.
        """

    def noise(self, n: int, rng: torch.Generator) -> Tensor:
        """Uniform numbers that ``elbo`` turns into a time and a noisy configuration; -> (n, 1 + n_visible).

        Each row's time is uniform, and the n of them are evenly spaced (Kingma, Salimans, Poole and Ho 2021): their
        mean scatters less than that of independent ones.
        """
        u = uniforms((n, 1 + self.n_visible), rng)
        u[:, 0] = (u[0, 0] + torch.arange(n, device=u.device) / n) % 1
        return u

    @torch.no_grad()
    def bound(self, v: Tensor, rng: torch.Generator, draws: int = 8) -> Tensor:
        """An unbiased estimate of the evidence lower bound of log q(v) of each configuration, in nats.

        (batch, n_visible) -> (batch,), from ``draws`` times each, one in every 1/``draws`` of the range. Rows are
        independent, so the scatter over them is the error of their mean. Raises ValueError for draws < 1.
        """
        if draws < 1:
            raise ValueError(f"a bound needs 1 or more draws, got {draws}")
        total = torch.zeros(len(v), device=v.device)
        for stratum in range(draws):
            u = uniforms((len(v), 1 + self.n_visible), rng)
            u[:, 0] = ((u[:, 0] + stratum) / draws).clamp(max=_LAST)  # float32 may round up to 1
            total += self.elbo(v, u)
        return total / draws

    def guess(self, fields: Tensor, shared: Tensor) -> Tensor:
        """What the network makes of fields, the first of which is x_t.

        Where the model is symmetric, half the difference between that and the same with x_t turned over.
        (*batch, fields, n), (*batch, shared) -> (*batch, n)
        """
        flat = fields.reshape(-1, *fields.shape[-2:])
        numbers = shared.expand(*fields.shape[:-2], -1).reshape(len(flat), shared.shape[-1])
        if self.symmetric:
            turned = torch.cat([-flat[:, :1], flat[:, 1:]], 1)
            straight, mirrored = self.network(torch.cat([flat, turned]), torch.cat([numbers, numbers])).chunk(2)
            guess: Tensor = 0.5 * (straight - mirrored)
        else:
            guess = self.network(flat, numbers)
        return guess.reshape(*fields.shape[:-2], -1)

    def spins(self, v: Tensor) -> Tensor:
        """Configurations as -1 and +1 in the parameters' type; (*shape) -> (*shape)."""
        return (v > 0).to(next(self.parameters()).dtype) * 2 - 1

    def values(self, x: Tensor) -> Tensor:
        """Spins as the unit's values; (*shape) -> (*shape)."""
        lower, upper = self.unit.values
        return torch.where(x > 0, upper, lower).to(x.dtype)

    def grid(self, steps: int | None = None) -> list[int]:
        """The times T ... 0 of a run in so many steps, nearly evenly spaced; all where none is given.

        Raises ValueError for steps outside 1 ... T, and where there are infinitely many and none is given.
        """
        taken = self.steps if steps is None else steps
        if taken is None or not 1 <= taken <= (self.steps or taken):
            raise ValueError(f"steps must be 1 to {self.steps or 'any number'}, got {steps}")
        return [round((self.steps or taken) * k / taken) for k in range(taken, -1, -1)]
