"""Critical temperatures that are known exactly, and the best estimate for the cubic lattice."""

from __future__ import annotations

import math

_CRITICAL = {
    "square": 2 / math.log1p(math.sqrt(2)),
    "triangular": 4 / math.log(3),
    "honeycomb": 2 / math.log(2 + math.sqrt(3)),
    "cubic": 1 / 0.221654626,
}


def critical_temperature(geometry: str = "square", coupling: float = 1.0) -> float:
    """Critical temperature of the Ising ferromagnet E = -J sum_bonds s s' on an infinite lattice, k_B = 1.

    T_c / J = 2 / ln(1 + sqrt 2) square, 4 / ln 3 triangular, 2 / ln(2 + sqrt 3) honeycomb;
    cubic 1 / 0.221654626(5), from Monte Carlo, not exact.
    Raises ValueError for another geometry and for J <= 0.
    Source: Kramers and Wannier (1941), Phys. Rev. 60, 252; Wannier (1945), Rev. Mod. Phys. 17, 50;
    cubic: Ferrenberg, Xu and Landau (2018), Phys. Rev. E 97, 043301, agreeing with
    Deng and Bloete (2003), Phys. Rev. E 68, 036125: 0.22165455(3).
    """
    if geometry not in _CRITICAL:
        raise ValueError(f"no critical temperature for geometry {geometry!r}; known: {', '.join(_CRITICAL)}")
    if not (math.isfinite(coupling) and coupling > 0):
        raise ValueError(f"a ferromagnet needs a finite coupling J > 0, got {coupling}")
    return coupling * _CRITICAL[geometry]


def potts_critical_temperature(states: int, coupling: float = 1.0) -> float:
    """Transition temperature of the q-state Potts ferromagnet E = -J sum_bonds delta(s, s') on the square lattice.

    T_c / J = 1 / ln(1 + sqrt q): continuous for q <= 4, first order above. With this E, q = 2 is half the Ising T_c.
    Raises ValueError for q < 2 and for J <= 0. Source: Potts (1952), Proc. Camb. Phil. Soc. 48, 106.
    """
    if states < 2:
        raise ValueError(f"a Potts model needs at least 2 states, got {states}")
    if not (math.isfinite(coupling) and coupling > 0):
        raise ValueError(f"a ferromagnet needs a finite coupling J > 0, got {coupling}")
    return coupling / math.log1p(math.sqrt(states))
