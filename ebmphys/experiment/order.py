"""Order parameters of couplings with J < 0, from packed configurations: of antiferromagnets, and of spin glasses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ebmphys.energies import Ising, satisfying_spins

Rows = NDArray[np.uint8]
Order = Callable[[Rows], NDArray[np.float64]]


def order_parameter(model: Ising) -> Order | None:
    """What relaxes as slowly as the order where |m| does not; None without couplings J < 0, where |m| does.

    |sum_i s_i s0_i| / N with the ground state s0 where there is no frustration: the staggered magnetization of an
    antiferromagnet. |q| of pairs of chains (``abs_overlaps``) where there is.
    Takes packed bits (..., chain, ceil(n_sites / 8)) as ``Chains.bits`` gives them -> (..., chain).
    """
    if not bool((model.couplings < 0).any()):
        return None
    if (pattern := satisfying_spins(model)) is None:
        return lambda rows: abs_overlaps(rows, model.n_sites)
    bits = np.packbits((pattern > 0).cpu().numpy())
    return lambda rows: _abs_product(rows, bits, model.n_sites)


def abs_overlaps(rows: Rows, n_sites: int) -> NDArray[np.float64]:
    """|q| of each chain with the next one, the last with the first; q = sum_i s_i s'_i / N (Edwards and Anderson 1975).

    Of independent chains q forgets twice as fast as each: its autocorrelation is theirs squared (``of_each_chain``).
    """
    return _abs_product(rows, np.roll(rows, -1, axis=-2), n_sites)


def of_each_chain(tau: NDArray[np.float64]) -> NDArray[np.float64]:
    """tau of a chain's own order from that of overlaps, 1/2 or more, for autocorrelations that decay exponentially."""
    rho = ((2 * tau - 1) / (2 * tau + 1)) ** 0.5
    slow: NDArray[np.float64] = (1 + rho) / (2 * (1 - rho))
    return slow


def _abs_product(rows: Rows, others: Rows, n_sites: int) -> NDArray[np.float64]:
    differ = np.bitwise_count(rows ^ others).sum(-1, dtype=np.int64)
    return np.abs(1 - 2 * differ / n_sites)
