"""Observables of configurations, and quantities derived from their averages.

Observables are functions of configurations x, (*batch, n_sites) of spins -1 and +1 -> one value, or a row of
values, per configuration; none averages over the batch. Derived quantities are functions of averages (numbers or
arrays), to be used with ``stats.jackknife``. k_B = J = 1, N sites, p(x) = exp(-beta E) / Z.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ebmphys.lattice import Graph, Lattice
from ebmphys.stats import Estimate, jackknife, mean_with_error


class HasEnergy(Protocol):
    """A model that knows the energy of a configuration and its number of sites."""

    @property
    def n_sites(self) -> int: ...

    def energy(self, x: Tensor, /) -> Tensor: ...


def magnetization(x: Tensor) -> Tensor:
    """Magnetization per site, signed: m = sum_i s_i / N; (*batch, n_sites) -> (*batch,)."""
    return x.sum(-1, dtype=_dtype(x)) / x.shape[-1]


def abs_magnetization(x: Tensor) -> Tensor:
    """Absolute magnetization per site: |m|; (*batch, n_sites) -> (*batch,)."""
    return magnetization(x).abs()


def magnetization_squared(x: Tensor) -> Tensor:
    """Square of the magnetization per site: m^2; (*batch, n_sites) -> (*batch,)."""
    return magnetization(x) ** 2


def magnetization_fourth(x: Tensor) -> Tensor:
    """Fourth power of the magnetization per site: m^4; (*batch, n_sites) -> (*batch,)."""
    return magnetization(x) ** 4


def staggered_magnetization(x: Tensor, graph: Graph) -> Tensor:
    """Antiferromagnetic order parameter: m_s = (sum_A s_i - sum_B s_i) / N on the two sublattices A and B.

    (*batch, n_sites) -> (*batch,); A holds site 0. Raises ValueError where the graph has no two colours.
    """
    _check_sites(x, graph)
    if len(graph.colours) != 2:
        raise ValueError(f"a staggered magnetization needs two sublattices, this graph has {len(graph.colours)}")
    signs = np.ones(graph.n_sites)
    signs[graph.colours[0] if 0 in graph.colours[1] else graph.colours[1]] = -1
    return magnetization(x * torch.as_tensor(signs, dtype=_dtype(x), device=x.device))


def energy_per_site(x: Tensor, model: HasEnergy) -> Tensor:
    """Energy per site: e = E(x) / N, without beta; (*batch, n_sites) -> (*batch,)."""
    return model.energy(x) / model.n_sites


def domain_walls(x: Tensor, graph: Graph) -> Tensor:
    """Fraction of bonds that join opposite spins: (number of bonds with s s' = -1) / (number of bonds).

    (*batch, n_sites) -> (*batch,), in [0, 1]; a doubled bond counts twice, and couplings play no part. For the
    uniform Ising model in no field it is (1 + E / (J n_bonds)) / 2. Raises ValueError for a graph without bonds.
    """
    _check_sites(x, graph)
    if len(graph.bonds) == 0:
        raise ValueError("domain walls need a graph with at least one bond")
    start, end = torch.as_tensor(graph.bonds, device=x.device).T
    products = x[..., start] * x[..., end]
    return (1 - products.sum(-1, dtype=_dtype(x)) / len(graph.bonds)) / 2


def two_point(x: Tensor, lattice: Lattice) -> Tensor:
    """Two-point function along the axes, with no <m>^2 subtracted, averaged over translations and axes.

    G(r) = 1/(d N) sum_a sum_i s_i s_(i + r e_a), r = 0 .. min(shape) // 2, e_a the primitive vector of axis a;
    G(0) = 1 for spins. (*batch, n_sites) -> (*batch, min(shape) // 2 + 1), by FFT along each axis.
    Raises ValueError for lattices that are not periodic or have more than one site a cell.
    """
    grid = _grid(x, lattice)
    distances = min(lattice.shape) // 2 + 1
    total: Tensor | None = None
    for axis, side in enumerate(lattice.shape, start=-len(lattice.shape)):
        spectrum = torch.fft.rfft(grid, dim=axis)
        power = spectrum.real**2 + spectrum.imag**2
        along = torch.fft.irfft(power, n=side, dim=axis).movedim(axis, -1)[..., :distances]
        summed = along.flatten(x.ndim - 1, -2).sum(-2) if len(lattice.shape) > 1 else along
        total = summed if total is None else total + summed
    assert total is not None  # a lattice has at least one axis
    return total / (len(lattice.shape) * lattice.n_sites)


def structure_factor(x: Tensor, lattice: Lattice) -> Tensor:
    """Structure factor S(k) = |sum_i s_i exp(-i k . r_i)|^2 / N at all momenta.

    (*batch, n_sites) -> (*batch, n_sites), in the order of ``lattice.momenta``; S(0) = N m^2, and the sum over k
    is N for spins. Raises ValueError for lattices that are not periodic or have more than one site a cell.
    """
    axes = tuple(range(-len(lattice.shape), 0))
    modes = torch.fft.fftn(_grid(x, lattice), dim=axes)
    return (modes.real**2 + modes.imag**2).reshape(x.shape) / lattice.n_sites


def small_structure_factors(x: Tensor, lattice: Lattice) -> Tensor:
    """The structure factor at k = 0 and at the smallest momentum, what the correlation length needs.

    S(0), and S(k_min) averaged over the longest axes, with k_min = ``smallest_momentum(lattice)`` along one of
    them; (*batch, n_sites) -> (*batch, 2). Raises ValueError as ``structure_factor``.
    """
    grid, longest = _grid(x, lattice), max(lattice.shape)
    phase = smallest_momentum(lattice) * torch.arange(longest, device=x.device, dtype=torch.float64)
    waves = torch.stack([phase.cos(), phase.sin()]).to(grid.dtype)
    flat = x.ndim - 1
    power = []
    for axis, side in enumerate(lattice.shape, start=flat):
        if side == longest:
            planes = grid.movedim(axis, flat).reshape(*x.shape[:-1], side, -1).sum(-1)
            power.append(((planes @ waves.T) ** 2).sum(-1))
    zero = grid.flatten(flat).sum(-1) ** 2
    return torch.stack([zero, torch.stack(power).mean(0)], -1) / lattice.n_sites


def smallest_momentum(lattice: Lattice) -> float:
    """The smallest momentum other than zero along an axis: k_min = 2 pi / max(shape), in inverse lattice units."""
    return 2 * np.pi / max(lattice.shape)


def specific_heat(e: Any, e2: Any, beta: float, n: int) -> Any:
    """Specific heat per site: c = beta^2 N (<e^2> - <e>^2), e the energy per site."""
    return beta**2 * n * (e2 - e**2)


def susceptibility(abs_m: Any, m2: Any, beta: float, n: int) -> Any:
    """Connected susceptibility per site: chi = beta N (<m^2> - <|m|>^2)."""
    return beta * n * (m2 - abs_m**2)


def susceptibility_disordered(m2: Any, beta: float, n: int) -> Any:
    """Susceptibility per site of the disordered phase, where <m> = 0: chi = beta N <m^2>."""
    return beta * n * m2


def binder_cumulant(m2: Any, m4: Any) -> Any:
    """Binder cumulant: U4 = 1 - <m^4> / (3 <m^2>^2); 0 for a Gaussian m, 2/3 for m = +-m_0.

    nan where <m^2> = 0, as at a fixed magnetization of zero.
    Source: K. Binder (1981).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - np.divide(m4, 3 * np.square(m2))


def correlation_length(S0: Any, Skmin: Any, kmin: float) -> Any:
    """Second-moment correlation length: xi = sqrt(S(0) / S(k_min) - 1) / (2 sin(k_min / 2)), hypercubic lattices.

    In lattice spacings; nan where S(0) < S(k_min), which noise alone can do, inf where S(k_min) = 0.
    Source: F. Cooper, B. Freedman and D. Preston (1982).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.divide(S0, Skmin) - 1
    return np.sqrt(np.where(excess >= 0, excess, np.nan)) / (2 * np.sin(kmin / 2))


def summarize(energy: Any, magnetization: Any, beta: float, n_sites: int) -> dict[str, Estimate]:
    """All thermal averages of one temperature with their errors, by name.

    energy and magnetization: series per site, signed m, (draw,) or (draw, chain), or (1, n) for independent
    draws -> energy_per_site, abs_magnetization, magnetization_squared, magnetization_fourth (as
    ``stats.mean_with_error``), specific_heat, susceptibility, susceptibility_disordered, binder_cumulant (as
    ``stats.jackknife``), each defined in the function of its name. Raises ValueError for series that are not
    aligned or not finite.
    """
    e, m = (np.asarray(series, dtype=np.float64) for series in (energy, magnetization))
    if e.shape != m.shape:
        raise ValueError(f"energy and magnetization must have equal shapes, got {e.shape} and {m.shape}")
    abs_m, m2, m4 = np.abs(m), m**2, m**4
    return {
        "energy_per_site": mean_with_error(e),
        "abs_magnetization": mean_with_error(abs_m),
        "magnetization_squared": mean_with_error(m2),
        "magnetization_fourth": mean_with_error(m4),
        "specific_heat": jackknife(lambda a, b: specific_heat(a, b, beta, n_sites), e, e**2),
        "susceptibility": jackknife(lambda a, b: susceptibility(a, b, beta, n_sites), abs_m, m2),
        "susceptibility_disordered": jackknife(lambda a: susceptibility_disordered(a, beta, n_sites), m2),
        "binder_cumulant": jackknife(binder_cumulant, m2, m4),
    }


def _dtype(x: Tensor) -> torch.dtype:
    """float32 or wider: half precision and 8-bit integers do not hold a sum over sites."""
    return torch.promote_types(x.dtype, torch.float32)


def _check_sites(x: Tensor, graph: Graph) -> None:
    if x.ndim == 0 or x.shape[-1] != graph.n_sites:
        raise ValueError(f"configurations must have shape (*batch, {graph.n_sites}), got {tuple(x.shape)}")


def _grid(x: Tensor, lattice: Lattice) -> Tensor:
    """(*batch, n_sites) -> (*batch, *shape), where translations map the lattice onto itself."""
    _check_sites(x, lattice)
    if not all(lattice.periodic) or lattice.n_cells != lattice.n_sites:
        raise ValueError(
            f"Fourier modes need a periodic lattice of one site a cell, got {lattice.geometry} with periodic ="
            f" {lattice.periodic}"
        )
    return x.to(_dtype(x)).reshape(*x.shape[:-1], *lattice.shape)
