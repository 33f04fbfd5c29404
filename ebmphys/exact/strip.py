"""A rectangle of Ising spins with couplings to the right and down, and fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ebmphys.exact.jet import Array
from ebmphys.lattice import Lattice


@dataclass(frozen=True)
class Strip:
    """Ising spins on a width x length rectangle, each bond with its own coupling, each site with its own field.

    E = -sum_ij [down_ij s_ij s_(i+1)j + right_ij s_ij s_i(j+1) + fields_ij s_ij], indices modulo the sides.
    down, right, fields: (width, length). An open edge is a wrapping coupling of 0: the last row of `down`, the
    last column of `right`. Raises ValueError for arrays of unlike shapes or not finite, and for a
    site coupled to itself (a wrapping coupling on a side of length 1).
    """

    down: Array
    right: Array
    fields: Array

    def __post_init__(self) -> None:
        shapes = {np.shape(a) for a in (self.down, self.right, self.fields)}
        if len(shapes) != 1 or len(self.shape) != 2 or min(self.shape) < 1:
            raise ValueError(f"down, right and fields must be matrices of one shape, got {sorted(shapes)}")
        if not all(np.isfinite(a).all() for a in (self.down, self.right, self.fields)):
            raise ValueError("couplings and fields must be finite")
        if (self.shape[0] == 1 and self.down.any()) or (self.shape[1] == 1 and self.right.any()):
            raise ValueError("on a side of length 1 a site would be coupled to itself: set that coupling to 0")

    @staticmethod
    def uniform(
        shape: tuple[int, int],
        coupling: float = 1.0,
        field: float = 0.0,
        periodic: tuple[bool, bool] = (True, True),
    ) -> Strip:
        """Equal couplings and fields on a rectangle that is periodic or open each way."""
        return Strip.of_lattice(Lattice(shape, periodic=periodic), coupling, field)

    @staticmethod
    def of_lattice(lattice: Lattice, couplings: Any = 1.0, fields: Any = 0.0) -> Strip:
        """The strip of a square lattice or chain; couplings (n_bonds,) and fields (n_sites,), or numbers.

        The two bonds of a doubled bond (side 2) stay two couplings. Raises ValueError for any other lattice.
        """
        if lattice.geometry != "hypercubic" or lattice.dimension > 2:
            raise ValueError(f"a strip is a chain or square lattice, got {lattice.geometry} {lattice.shape}")
        n, m = lattice.shape if lattice.dimension == 2 else (1, *lattice.shape)
        down, right = np.zeros(n * m), np.zeros(n * m)
        strengths = np.broadcast_to(np.asarray(couplings, dtype=np.float64), (lattice.n_bonds,))
        # A lattice lists each bond from the site that it leaves along its axis.
        start, end = lattice.bonds.T
        across = start // m != end // m
        down[start[across]] = strengths[across]
        right[start[~across]] = strengths[~across]
        field = np.broadcast_to(np.asarray(fields, dtype=np.float64), (n * m,)).reshape(n, m)
        return Strip(down.reshape(n, m), right.reshape(n, m), field.copy())

    @property
    def shape(self) -> tuple[int, int]:
        """(width, length): the transfer matrix acts on the width."""
        width, length = np.shape(self.down)
        return width, length

    @property
    def n_sites(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def closed(self) -> bool:
        """Whether the last column is coupled back to the first."""
        return bool(self.right[:, -1].any())

    @property
    def transposed(self) -> Strip:
        """The same system with width and length exchanged."""
        return Strip(self.right.T.copy(), self.down.T.copy(), self.fields.T.copy())

    @property
    def cheaper_way(self) -> Strip:
        """This strip or its transpose, whichever the transfer matrix does in fewer operations."""
        other = self.transposed
        return self if self.cost <= other.cost else other

    @property
    def cost(self) -> int:
        """About how many operations a partition function takes, the transfer matrix acting on the width."""
        width = self.shape[0]
        turns = 2 * width if self.symmetric_rows and width > 2 else 1
        return self.n_sites * 2**width * (2**width // turns if self.closed else 1)

    @property
    def symmetric_rows(self) -> bool:
        """Whether all rows are alike, so that turning or reflecting a column of spins changes nothing."""
        return all(bool((a == a[:1]).all()) for a in (self.down, self.right, self.fields))
