"""The infinite square lattice in closed form: Onsager's energy and Yang's magnetization."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.integrate import quad
from scipy.special import elliprd

from ebmphys.exact.thermodynamics import check_beta, check_coupling


@dataclass(frozen=True)
class Bulk:
    """Free energy, energy and specific heat per site of an infinite lattice, k_B = 1.

    f = -lim log Z / (beta N), -inf at beta = 0; u = <E> / N; c = beta^2 N Var(e), +inf at the critical point.
    """

    free_energy_per_site: float
    energy_per_site: float
    specific_heat: float


def onsager(beta: float, coupling: float = 1.0) -> Bulk:
    """Free energy, energy and specific heat of the infinite square-lattice Ising model in zero field.

    K = beta J, kappa = 2 sinh 2K / cosh^2 2K, kappa' = 2 tanh^2 2K - 1 (signed), K1 and E1 complete elliptic integrals:
    -beta f = log(2 cosh 2K) + (1/pi) int_0^(pi/2) log[(1 + sqrt(1 - kappa^2 sin^2 phi)) / 2] d phi,
    u = -J coth 2K [1 + (2/pi) kappa' K1(kappa)],
    c = (4/pi) (K coth 2K)^2 {K1 - E1 - (1 - tanh^2 2K) [pi/2 + kappa' K1]}; c = +inf when K is K_c to rounding.

    Even in J: the antiferromagnet has the same values. Raises ValueError for beta negative or not finite.
    Source: Onsager (1944), Phys. Rev. 65, 117.
    """
    beta, coupling = check_beta(beta), check_coupling(coupling)
    k = beta * abs(coupling)
    if k == 0:
        return Bulk(-math.log(2) / beta if beta > 0 else -math.inf, 0.0, 0.0)
    free = -_minus_beta_f(k) / beta
    if _is_critical(k):
        return Bulk(free, -math.sqrt(2) * abs(coupling), math.inf)
    signed, deficit = _moduli(k)
    excess = _elliptic_excess(abs(signed), deficit)
    # 1 + (2/pi) kappa' K1, arranged so that nothing cancels at high temperature, where it is of order K^2.
    bracket = deficit * (1 + excess) - excess if signed < 0 else 1 + signed * (1 + excess)
    coth = 1 / math.tanh(2 * k)
    sech2 = 1 / math.cosh(2 * k) ** 2 if k < 350 else 0.0
    k1_minus_e1 = deficit * (2 - deficit) / 3 * float(elliprd(0.0, signed**2, 1.0))
    heat = 4 / math.pi * (k * coth) ** 2 * (k1_minus_e1 - sech2 * math.pi / 2 * bracket)
    return Bulk(free, -abs(coupling) * coth * bracket, heat)


def yang_magnetization(beta: float, coupling: float = 1.0) -> float:
    """Spontaneous magnetization of the infinite square-lattice Ising ferromagnet.

    m = (1 - sinh(2 beta J)^-4)^(1/8) below T_c, and 0 at and above it; per site, +1 when saturated.
    Raises ValueError for J <= 0 (the antiferromagnet has a staggered magnetization) or beta negative or not finite.
    Source: Yang (1952), Phys. Rev. 85, 808.
    """
    beta, coupling = check_beta(beta), check_coupling(coupling)
    if coupling <= 0:
        raise ValueError(f"the spontaneous magnetization is that of a ferromagnet, J > 0; got J = {coupling}")
    k = beta * coupling
    if k <= _CRITICAL_K or _is_critical(k):
        return 0.0
    t2 = math.exp(-4 * k)
    inverse_sinh = 2 * math.sqrt(t2) / (1 - t2)
    return float(((1 - inverse_sinh) * (1 + inverse_sinh) * (1 + inverse_sinh**2)) ** 0.125)


_CRITICAL_K = math.log1p(math.sqrt(2)) / 2


def _is_critical(k: float) -> bool:
    return math.isclose(k, _CRITICAL_K, rel_tol=1e-15)


def _moduli(k: float) -> tuple[float, float]:
    """kappa' = (s^2 - 1) / (s^2 + 1) with its sign, and 1 - |kappa'| without cancellation, where s = sinh 2K."""
    t = math.exp(-2 * k)
    w = -math.expm1(-4 * k) / 2
    return (w - t) * (w + t) / (w**2 + t**2), 2 * min(w, t) ** 2 / (w**2 + t**2)


def _elliptic_excess(complementary: float, deficit: float) -> float:
    """(2/pi) K1 - 1 from the complementary modulus b and 1 - b: 1/agm(1, b) - 1, accurate when it is small."""
    a, b, shrink, total = 1.0, complementary, deficit / 2, 0.0
    while shrink > 1e-17 * total:
        b = math.sqrt(a * b)
        a -= shrink
        total += shrink
        shrink = shrink**2 / (2 * (a + b))
    return total / (1 - total)


def _minus_beta_f(k: float) -> float:
    signed, _ = _moduli(k)

    def integrand(angle: float) -> float:
        # The angle is measured from pi/2, where the root nearly vanishes close to T_c.
        root = math.hypot(signed * math.cos(angle), math.sin(angle))
        return math.log((1 + root) / 2)

    corner = min(max(abs(signed), 1e-3), 1.0)
    pieces = ((0.0, corner), (corner, math.pi / 2))
    area = sum(quad(integrand, lo, hi, epsabs=1e-14, epsrel=1e-13, limit=200)[0] for lo, hi in pieces)
    return 2 * k + math.log1p(math.exp(-4 * k)) + area / math.pi
