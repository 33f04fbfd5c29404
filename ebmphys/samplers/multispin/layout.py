"""How the spins of a lattice lie in vectors of 512 bits: as 512 replicas of a site, or as 512 sites of one lattice.

Either way a *slot* is a vector, an update needs the slots of a site's neighbours, and all 512 bits obey one rule. With
sites packed, the lattice is cut into 64 x 8 blocks: bit b of lane l is block (b, l), a slot is a place within the
block. A neighbour beyond the edge of a block is the same slot with its bits and lanes turned by one; such turned copies
are kept in *ghost* slots, made anew after each colour, so that one kernel serves both packings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ebmphys.energies import EnergyModel, Ising
from ebmphys.lattice import Graph, Lattice
from ebmphys.samplers.multispin.vector import LANES

BITS = 64 * LANES
DEGREES = (2, 3, 4, 6)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)

Index = NDArray[np.int64]
Words = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Layout:
    """Tables for the kernels; n updated slots, z neighbours each, and one slot that is always 0 at the very end.

    order: (n,) slots, colour after colour; colours: (n_colours + 1,) where each begins in ``order``;
    neighbours: (n, z) slots around ``order[i]``; flips: words with the bits of bonds with J < 0 set, (n, z, LANES), or
    (n, z, 1) where all bits of a slot share one, or (1,) where all bonds do;
    ghosts: (n_ghosts, 3) source slot, turn of bits, turn of lanes: the contents of the slots from n on, sorted by the
    colour of the source; ghost_colours: (n_colours + 1,) where each begins in ``ghosts``;
    bonds: (n_bonds, 2) slots, each bond once, and bond_flips (n_bonds, LANES), (n_bonds, 1) or (1,);
    site_of: (n, BITS) the site at each bit, element 64 l + b that of bit b of lane l; None for replicas.
    """

    replicas: bool
    n_sites: int
    order: Index
    colours: Index
    neighbours: Index
    flips: Words
    ghosts: Index
    ghost_colours: Index
    bonds: Index
    bond_flips: Words
    site_of: Index | None = None

    @property
    def n_slots(self) -> int:
        return len(self.order) + len(self.ghosts) + 1

    @property
    def zero_slot(self) -> int:
        return self.n_slots - 1

    @property
    def flip_words(self) -> int:
        """Words of ``flips`` for each bond: LANES, 1, or 0 where one serves all."""
        return 0 if self.flips.ndim == 1 else self.flips.shape[-1]

    @property
    def chains_per_block(self) -> int:
        return BITS if self.replicas else 1


def check_packable(model: EnergyModel) -> None:
    """Raises ValueError for a model whose spins cannot share words, saying why and what can be used instead."""
    if not isinstance(model, Ising):
        raise ValueError(f"bit-packed kernels are for Ising models, not {type(model).__name__}: use BlockGibbs")
    strength = model.couplings.abs()
    if model.graph.n_bonds == 0 or not bool((strength == strength[0]).all()) or float(strength[0]) == 0:
        raise ValueError("bit-packed kernels need couplings +J and -J of one size J > 0: use BlockGibbs or Metropolis")
    if not bool((model.fields == model.fields[0]).all()):
        raise ValueError("bit-packed kernels need the same field on every site: use BlockGibbs or Metropolis")
    degrees = np.unique(model.graph.degree)
    if len(degrees) > 1 or int(degrees[0]) not in DEGREES:
        raise ValueError(
            f"bit-packed kernels need {', '.join(map(str, DEGREES))} neighbours on every site (periodic chain,"
            f" honeycomb, square, triangular, cubic), got {', '.join(map(str, degrees))}: use BlockGibbs or Metropolis"
        )


def replica_layout(model: Ising) -> Layout:
    """One site a slot, one replica a bit."""
    graph = model.graph
    order = np.concatenate(graph.colours)
    negative = model.couplings.cpu().numpy() < 0
    flips = np.where(negative[graph.neighbour_bonds[order]], _ALL, np.uint64(0))[:, :, None]
    return Layout(
        replicas=True,
        n_sites=graph.n_sites,
        order=order,
        colours=_starts([len(sites) for sites in graph.colours]),
        neighbours=np.ascontiguousarray(graph.neighbours[order]),
        flips=_shortest(flips),
        ghosts=np.empty((0, 3), dtype=np.int64),
        ghost_colours=np.zeros(len(graph.colours) + 1, dtype=np.int64),
        bonds=np.ascontiguousarray(graph.bonds),
        bond_flips=_shortest(np.where(negative, _ALL, np.uint64(0))[:, None]),
    )


def site_layout(model: Ising) -> Layout:
    """512 sites of one periodic lattice a slot. Raises ValueError where the sides do not divide into blocks."""
    lattice = model.graph
    axes = _block_axes(lattice)
    assert isinstance(lattice, Lattice)
    parts = np.ones(lattice.dimension, dtype=np.int64)
    parts[axes[0]], parts[axes[1]] = 64, LANES
    cell = np.array(lattice.shape) // parts
    block = Lattice(tuple(cell.tolist()), lattice.geometry)
    # The site of each slot and bit: coordinates within the block plus the block's corner.
    lane, bit = np.divmod(np.arange(BITS), 64)
    corner = np.zeros((BITS, lattice.dimension), dtype=np.int64)
    corner[:, axes[0]], corner[:, axes[1]] = bit * cell[axes[0]], lane * cell[axes[1]]
    site_of = np.ravel_multi_index(
        tuple((block.cells[:, None] + corner[None]).reshape(-1, lattice.dimension).T), lattice.shape
    )
    site_of = site_of.reshape(block.n_sites, BITS)
    order = np.concatenate(block.colours)
    colour_of = np.empty(block.n_sites, dtype=np.int64)
    for number, sites in enumerate(block.colours):
        colour_of[sites] = number
    # Where the neighbours of the first block's sites lie: a slot, and how far its bits and lanes have to be turned.
    around = np.stack(np.unravel_index(lattice.neighbours[site_of[:, 0]], lattice.shape), axis=-1)
    inside = around % cell
    slot = np.ravel_multi_index(tuple(np.moveaxis(inside, -1, 0)), block.shape)
    turns = (around // cell)[..., list(axes)] % (64, LANES)
    wanted = np.concatenate([slot[..., None], turns], axis=-1)
    turned = turns.any(axis=-1)
    ghosts = np.unique(wanted[turned], axis=0)
    ghosts = ghosts[np.argsort(colour_of[ghosts[:, 0]], kind="stable")]
    number_of = {tuple(ghost): block.n_sites + k for k, ghost in enumerate(ghosts.tolist())}
    neighbours = slot.copy()
    for place in zip(*np.nonzero(turned), strict=True):
        neighbours[place] = number_of[tuple(wanted[place].tolist())]
    negative = model.couplings.cpu().numpy() < 0
    flips = as_words(negative[lattice.neighbour_bonds[site_of]].swapaxes(1, 2))
    own = lattice.neighbours.shape[1] // 2  # the first half are the bonds that a site owns, in every direction
    slots = np.arange(block.n_sites)
    return Layout(
        replicas=False,
        n_sites=lattice.n_sites,
        order=order,
        colours=_starts([len(sites) for sites in block.colours]),
        neighbours=np.ascontiguousarray(neighbours[order]),
        flips=_shortest(flips[order]),
        ghosts=ghosts,
        ghost_colours=_starts([int((colour_of[ghosts[:, 0]] == c).sum()) for c in range(len(block.colours))]),
        bonds=np.stack([np.repeat(slots, own), neighbours[:, :own].ravel()], axis=1),
        bond_flips=_shortest(flips[:, :own].reshape(-1, LANES)),
        site_of=site_of,
    )


def _block_axes(lattice: Graph) -> tuple[int, int]:
    """The axes that are cut into 64 and into 8 parts."""
    if isinstance(lattice, Lattice) and all(lattice.periodic) and lattice.n_cells == lattice.n_sites:
        for long in range(lattice.dimension):
            for short in range(lattice.dimension):
                sides = lattice.shape[long], lattice.shape[short]
                if (
                    long != short
                    and sides[0] % 64 == 0
                    and sides[1] % LANES == 0
                    and min(sides[0] // 64, sides[1] // 8) > 1
                ):
                    return long, short
    raise ValueError(
        "packing sites needs a periodic square, cubic or triangular lattice with one side a multiple of 64, at least"
        " 128, and another a multiple of 8, at least 16: pack replicas"
    )


def as_words(bits: NDArray[Any]) -> Words:
    """(..., BITS) truth values -> (..., LANES) words: element 64 l + b is bit b of lane l."""
    packed = np.ascontiguousarray(np.packbits(bits, axis=-1, bitorder="little"))
    return packed.view("<u8").astype(np.uint64, copy=False)


def as_bits(words: Words) -> NDArray[np.uint8]:
    """(..., LANES) words -> (..., BITS) zeros and ones, in the order of ``as_words``."""
    return np.unpackbits(
        np.ascontiguousarray(words).astype("<u8", copy=False).view(np.uint8), axis=-1, bitorder="little"
    )


def _shortest(flips: Words) -> Words:
    """A single word where all bonds share it: no memory is read for the couplings of a ferromagnet."""
    return flips.reshape(-1)[:1].copy() if (flips == flips.reshape(-1)[0]).all() else np.ascontiguousarray(flips)


def _starts(sizes: list[int]) -> Index:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
