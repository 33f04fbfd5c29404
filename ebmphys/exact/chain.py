"""The periodic Ising chain by its 2 x 2 transfer matrix."""

from __future__ import annotations

from ebmphys.exact.jet import Jet
from ebmphys.exact.thermodynamics import Thermodynamics, check_beta, check_coupling


def periodic_chain(n_sites: int, beta: float, coupling: float = 1.0, field: float = 0.0) -> Thermodynamics:
    """Partition function, energy and specific heat of a ring of N spins in a uniform field.

    E = -J sum_i s_i s_(i+1) - h sum_i s_i; Z = a^N + b^N with a, b = e^K cosh H +- sqrt(e^2K sinh^2 H + e^-2K),
    K = beta J, H = beta h. For N = 2 the two bonds between the pair both count. J of either sign, N odd or even.
    Raises ValueError for N < 2 and for beta negative or not finite. Source: Ising (1925), Z. Phys. 31, 253.
    """
    beta, coupling, field = check_beta(beta), check_coupling(coupling), check_coupling(field)
    if n_sites < 2:
        raise ValueError(f"a ring needs at least 2 sites, got {n_sites}")
    x = Jet.variable(beta)
    k, h = x * coupling, x * abs(field)
    size = x * abs(coupling)
    # Both eigenvalues are divided by e^(|K| + H), so that no temperature overflows.
    aligned = (k - size).exp()
    half_sum = aligned * ((h * -2).exp() + 1) * 0.5
    half_difference = aligned * (h * -2).expm1() * -0.5
    opposed = -k - size - h
    split = opposed.exp() if field == 0 else (half_difference**2 + (opposed * 2).exp()).sqrt()
    upper = half_sum + split
    # The determinant gives the lower one (in size) without the cancellation of half_sum - split.
    ratio = (size * -4).expm1() * (h * -2).exp() * -1 / upper**2
    if coupling < 0 and n_sites % 2:
        # a^N + b^N = (a + b) times a sum of positive terms: the frustrated ring without cancellation.
        log_gap = k - size + (h * -2).exp().log1p() - upper.log()
        closure = log_gap + _geometric_sum(ratio, n_sites).log()
    else:
        closure = (ratio**n_sites).log1p()
    return Thermodynamics.of((upper.log() + size + h) * n_sites + closure, n_sites, beta)


def _geometric_sum(x: Jet, n: int) -> Jet:
    """1 + x + ... + x^(n-1), by doubling."""
    total, power = Jet.constant(0.0), Jet.constant(1.0)
    for bit in f"{n:b}":
        total, power = total * (power + 1), power**2
        if bit == "1":
            total, power = total * x + 1, power * x
    return total
