"""Multi-spin coding: heat-bath and Metropolis sweeps of the Ising model, 512 spins at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor

from ebmphys.energies import Ising
from ebmphys.samplers.base import Chains, checked_beta
from ebmphys.samplers.multispin.chains import BitChains, PackedChains
from ebmphys.samplers.multispin.kernel import sweeper
from ebmphys.samplers.multispin.layout import BITS, Layout, check_packable, replica_layout, site_layout
from ebmphys.samplers.multispin.rules import Rule

_FLIPS_A_CALL = 2e9  # about a fifth of a second, after which Ctrl-C is heard


class Update(StrEnum):
    """How a spin is updated: drawn from its conditional, or offered a flip."""

    HEAT_BATH = "heat_bath"
    METROPOLIS = "metropolis"


class Packing(StrEnum):
    """What shares a word: 64 replicas of a site, each with a beta of its own, or 64 sites of one large lattice."""

    REPLICAS = "replicas"
    SITES = "sites"


@dataclass(frozen=True)
class MultiSpin:
    """Sweeps of ``BlockGibbs`` or ``Metropolis`` with spins as bits, in compiled kernels; one step is one sweep.

    For Ising models with couplings +J and -J of one size, one field for all sites, and 2, 3, 4 or 6 neighbours on every
    site: periodic chains, honeycomb, square, triangular and cubic lattices. Replicas come in blocks of 512 (fewer cost
    as much); packed sites need sides as ``site_layout`` says. Every chain has its own beta. Chains are ``PackedChains``
    on the CPU and ``DeviceChains`` on CUDA, where Triton is needed.

    Each decision draws random bits of its own and has its probability to 2^-32: on the CPU from xoshiro256++ (Blackman
    and Vigna 2021), one stream for each block and lane, with as many threads as torch has; on CUDA from Philox
    (Salmon et al. 2011), numbered by spin and sweep. Neither threads nor the kind of device change a result.
    ``shared_ties``, on CUDA and for one beta in each block: only eight bits of its own, and where they are all those of
    p, a word made of the bits of 32 spins; each probability is the same, and two of them share a decision with
    probability 2^-16, of 32 replicas as a rule but where sites are packed, of one lattice.
    ``attempt`` as for ``Metropolis``. Raises ValueError for models, attempts and devices that do not fit.
    Multi-spin coding: Creutz, Jacobs and Rebbi (1979); Zorn, Herrmann and Rebbi (1981).
    """

    model: Ising
    update: Update = Update.HEAT_BATH
    packing: Packing = Packing.REPLICAS
    attempt: float = 15 / 16
    shared_ties: bool = False

    def __post_init__(self) -> None:
        check_packable(self.model)
        if not 0 < self.attempt < 1:
            raise ValueError(f"attempt is a probability between 0 and 1, got {self.attempt}")
        if self.shared_ties and self.model.device.type == "cpu":
            raise ValueError("shared_ties is for models on CUDA: on the CPU each decision has all bits of its own")
        Update(self.update), Packing(self.packing)

    @cached_property
    def layout(self) -> Layout:
        """The tables of the kernel. Raises ValueError where sites are to be packed and the sides do not allow it."""
        return site_layout(self.model) if self.packing == Packing.SITES else replica_layout(self.model)

    @property
    def rule(self) -> Rule:
        """The rule that the kernel follows."""
        metropolis, field = self.update == Update.METROPOLIS, bool(self.model.fields.any())
        return Rule(2 * metropolis + field)

    def init(self, *batch: int, beta: Tensor | float = 1.0, rng: torch.Generator) -> BitChains:
        here, there = self.model.device.type, rng.device.type
        if here != there:
            raise ValueError(f"the model is on {here} and the generator on {there}: make both on one")
        if here not in ("cpu", "cuda"):
            raise ValueError(f"bit-packed kernels run on the CPU and on CUDA, not on {here}: use BlockGibbs")
        kind = PackedChains if here == "cpu" else _gpu().DeviceChains
        return kind(self.model, self.layout, batch, checked_beta(beta, batch).to(torch.float64), rng)

    def step(self, chains: Chains) -> dict[str, Tensor]:
        self.advance(chains, 1)
        return {}

    def advance(self, chains: Chains, steps: int) -> None:
        """So many sweeps, in few calls of the kernel."""
        if not isinstance(chains, BitChains) or chains.layout is not self.layout:
            raise ValueError("bit-packed kernels need the chains of their own init")
        if not isinstance(chains, PackedChains):
            gpu = _gpu()
            gpu.advance(chains, self.rule, self.attempt, steps, gpu.SHARED if self.shared_ties else gpu.STRICT)
            return
        at_once = max(1, int(_FLIPS_A_CALL / (len(chains.words) * len(self.layout.order) * BITS)))
        for start in range(0, steps, at_once):
            self._sweep(chains, min(at_once, steps - start))

    def _sweep(self, chains: PackedChains, sweeps: int) -> None:
        layout, blocks = self.layout, len(chains.words)
        kernel = sweeper(self.rule, layout.neighbours.shape[1], layout.flip_words)
        tables = (layout.order, layout.colours, layout.neighbours, layout.flips.reshape(-1))
        arrays = (
            chains.words.reshape(-1),
            chains.thresholds(self.rule, self.attempt).reshape(-1),
            chains.streams.reshape(-1),
            *tables,
            layout.ghosts,
            layout.ghost_colours,
            sweeps,
        )
        workers = min(torch.get_num_threads(), blocks)
        if workers == 1:
            kernel(0, blocks, *arrays)
            return
        edges = [blocks * worker // workers for worker in range(workers + 1)]
        jobs = [_pool(workers).submit(kernel, edges[k], edges[k + 1], *arrays) for k in range(workers)]
        for job in jobs:
            job.result()


def _gpu() -> Any:
    """The room of the CUDA kernels, opened only here: ebmphys does without Triton where there is no such device."""
    try:
        from ebmphys.samplers.multispin import gpu
    except ImportError as missing:
        raise ValueError("bit-packed kernels on CUDA need Triton: pip install triton, or use BlockGibbs") from missing
    return gpu


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="multispin")
