"""Chains whose spins are bits: the same face as any others, with ``x`` unpacked only when it is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ebmphys.energies import EnergyModel, Ising
from ebmphys.samplers.base import Chains, State
from ebmphys.samplers.compiled import seeds
from ebmphys.samplers.multispin.kernel import PLANES, turn_copies
from ebmphys.samplers.multispin.layout import BITS, Layout, Words, as_bits, as_words
from ebmphys.samplers.multispin.readout import opposite_bonds, replica_rows, up_spins
from ebmphys.samplers.multispin.rules import Real, Rule, probabilities
from ebmphys.samplers.multispin.vector import LANES


class BitChains(Chains, ABC):
    """Chains of an Ising model with a bit for each spin, wherever the words are kept: all that is the same there.

    ``reorder`` with a permutation moves no spins: it changes which bit belongs to which chain. beta is kept in float64.
    """

    def __init__(
        self, model: Ising, layout: Layout, batch: tuple[int, ...], beta: Tensor, rng: torch.Generator
    ) -> None:
        self.model, self.layout, self.rng = model, layout, rng
        self._batch = torch.Size(batch)
        self.n_blocks = max(1, -(-self._batch.numel() // layout.chains_per_block))
        self._place = np.arange(self._batch.numel())
        self.beta = beta

    @abstractmethod
    def host_words(self) -> Words:
        """The words in the memory of the host, (blocks, slots, LANES)."""

    @abstractmethod
    def put_words(self, words: Words) -> None:
        """Take up words, whose ghost slots may be out of date."""

    @abstractmethod
    def opposite_bonds(self) -> Tensor:
        """Bonds that their coupling does not satisfy, for each bit; (blocks, BITS)."""

    @abstractmethod
    def up_spins(self) -> Tensor:
        """Spins that are up, for each bit; (blocks, BITS)."""

    @abstractmethod
    def turn_over(self, chosen: Tensor) -> None:
        """Turn over every spin of the chains where ``chosen``, (*batch,) truth values."""

    @property
    def batch(self) -> torch.Size:
        return self._batch

    @property
    def beta(self) -> Tensor:
        return self._beta

    @beta.setter
    def beta(self, value: Tensor) -> None:
        self._beta = value.to(self.rng.device, torch.float64, copy=True)
        self._forget()

    def _forget(self) -> None:
        """Thresholds are of one beta for each bit, and made anew where either has changed."""
        self._beta_then = self._beta.clone()

    @property
    def x(self) -> Tensor:
        """Spins -1 and +1 as float32, a copy; (*batch, n_sites). Assigning packs them."""
        up = np.unpackbits(self.bits(self.layout.n_sites), axis=-1, count=self.layout.n_sites)
        return torch.from_numpy(up).to(self.rng.device).float().mul_(2).sub_(1)

    @x.setter
    def x(self, value: Tensor) -> None:
        layout = self.layout
        if value.shape != (*self._batch, layout.n_sites):
            raise ValueError(f"x must have shape {(*self._batch, layout.n_sites)}, got {tuple(value.shape)}")
        up = (value.reshape(-1, layout.n_sites) > 0).cpu().numpy()
        words = self.host_words()
        if layout.site_of is None:
            everyone = np.zeros((self.n_blocks * BITS, layout.n_sites), dtype=bool)
            everyone[self._place] = up
            words[:, : layout.n_sites] = as_words(everyone.reshape(-1, BITS, layout.n_sites).swapaxes(1, 2))
        else:
            words[self._place, : len(layout.order)] = as_words(up[:, layout.site_of])
        self.put_words(words)

    @torch.no_grad()
    def energy(self, model: EnergyModel) -> Tensor:
        """E of each chain, from counts of bonds and spins without unpacking; float64."""
        if model is not self.model:
            return model.energy(self.x)
        coupling, field = float(self.model.couplings.abs().max()), float(self.model.fields[0])
        energy = coupling * (2.0 * self._of_chains(self.opposite_bonds()).double() - self.model.graph.n_bonds)
        if field:
            energy = energy - field * (2.0 * self._of_chains(self.up_spins()).double() - self.layout.n_sites)
        return energy.reshape(self._batch)

    def magnetization(self, n_visible: int) -> Tensor:
        m = 2.0 * self._of_chains(self.up_spins()).double() / self.layout.n_sites - 1
        return m.reshape(self._batch)

    def bits(self, n_visible: int) -> NDArray[np.uint8]:
        n, words = self.layout.n_sites, self.host_words()
        if self.layout.site_of is None:
            rows = replica_rows(words, self.layout)[self._place].astype("<u8", copy=False).view(np.uint8)
            rows = rows[:, : -(-n // 8)]
        else:
            up = np.empty((len(self._place), n), dtype=np.uint8)
            up[:, self.layout.site_of] = as_bits(words[self._place, : len(self.layout.order)])
            rows = np.packbits(up, axis=-1)
        return rows.reshape(*self._batch, -1)

    def reorder(self, source: Tensor) -> None:
        chosen = source.cpu().numpy()
        if len(np.unique(chosen)) == len(self._place):
            self._place = self._place[chosen]
            self._forget()
        else:
            x = self.x
            self.x = x.reshape(-1, self.layout.n_sites)[source.to(x.device)].reshape(x.shape)

    def flip_mask(self, chosen: Tensor) -> Words:
        """The bits of the chosen chains, (*batch,) truth values; -> (blocks, 1, LANES) or (blocks, 1, 1)."""
        flip = np.zeros(self.n_blocks * self.layout.chains_per_block, dtype=bool)
        flip[self._place] = chosen.reshape(-1).cpu().numpy()
        if self.layout.site_of is None:
            return as_words(flip.reshape(-1, BITS))[:, None]
        return np.where(flip, np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0))[:, None, None]

    def beta_of_bits(self) -> Real:
        """Inverse temperature of every bit, (blocks, BITS); bits that are no chain's have one of the others'."""
        distinct, kind = self._kinds()
        return np.broadcast_to(distinct[kind].reshape(self.n_blocks, -1), (self.n_blocks, BITS)).copy()

    def planes(self, rule: Rule, attempt: float) -> Words:
        """The planes of every bit's probabilities; -> (blocks, classes, PLANES, LANES)."""
        distinct, kind = self._kinds()
        planes = _planes_of(self._numbers(rule, distinct, attempt))
        if self.layout.site_of is not None:
            return np.repeat(planes[kind][..., None] * np.uint64(0xFFFFFFFFFFFFFFFF), LANES, axis=-1)
        return as_words(np.moveaxis(planes.astype(bool)[kind.reshape(-1, BITS)], 1, -1))

    def _kinds(self) -> tuple[Real, NDArray[np.int64]]:
        """The distinct inverse temperatures, and which of them each place for a chain has."""
        betas = self._beta.expand(self._batch).reshape(-1).cpu().numpy()
        distinct, which = np.unique(betas, return_inverse=True)
        kind = np.zeros(self.n_blocks * self.layout.chains_per_block, dtype=np.int64)
        kind[self._place] = which
        return distinct, kind

    def _numbers(self, rule: Rule, betas: Real, attempt: float) -> Words:
        """Probabilities of each class as whole numbers of PLANES bits, rounded; (kinds,) -> (kinds, classes)."""
        coupling, field = float(self.model.couplings.abs().max()), float(self.model.fields[0])
        p = probabilities(rule, self.layout.neighbours.shape[1], betas, coupling, field, attempt)
        return np.rint(p * 2.0**PLANES).clip(0, 2**PLANES - 1).astype(np.uint64)

    def _of_chains(self, counts: Tensor) -> Tensor:
        """(blocks, BITS) -> (chains,): picked for replicas, summed for the sites of one lattice."""
        every = counts.reshape(-1) if self.layout.site_of is None else counts.sum(-1)
        return every[torch.from_numpy(self._place).to(every.device)]


class PackedChains(BitChains):
    """Chains in words of 64 bits for the kernels of the CPU, a set bit for a spin that is up.

    words: (blocks, slots, LANES) as ``Layout`` says; streams: (blocks, 4, LANES), the state of the random numbers.
    ``rng`` seeds the streams, and sweeps leave it alone afterwards.
    """

    def __init__(
        self, model: Ising, layout: Layout, batch: tuple[int, ...], beta: Tensor, rng: torch.Generator
    ) -> None:
        super().__init__(model, layout, batch, beta, rng)
        self.words = np.zeros((self.n_blocks, layout.n_slots, LANES), dtype=np.uint64)
        self.words[:, : len(layout.order)] = seeds((self.n_blocks, len(layout.order), LANES), rng)
        self.streams = seeds((self.n_blocks, 4, LANES), rng)
        turn_copies(self.words, layout)

    def host_words(self) -> Words:
        return self.words

    def put_words(self, words: Words) -> None:
        self.words[...] = words
        turn_copies(self.words, self.layout)

    def opposite_bonds(self) -> Tensor:
        return torch.from_numpy(opposite_bonds(self.words, self.layout))

    def up_spins(self) -> Tensor:
        return torch.from_numpy(up_spins(self.words, self.layout))

    def turn_over(self, chosen: Tensor) -> None:
        self.words[:, : self.layout.zero_slot] ^= self.flip_mask(chosen)

    def state(self) -> State:
        return {
            "words": self.words.view(np.int64).copy(),
            "streams": self.streams.view(np.int64).copy(),
            "place": self._place.copy(),
            "rng": self.rng.get_state().numpy(),
        }

    def restore(self, state: State) -> None:
        self.words[...] = state["words"].view(np.uint64)
        self.streams[...] = state["streams"].view(np.uint64)
        self._place = state["place"].astype(np.int64)
        self._forget()
        self.rng.set_state(torch.from_numpy(state["rng"].astype(np.uint8)))

    def _forget(self) -> None:
        super()._forget()
        self._thresholds: dict[tuple[Rule, float], Words] = {}

    def thresholds(self, rule: Rule, attempt: float) -> Words:
        """The planes of every bit's probabilities; -> (blocks, classes, PLANES, LANES)."""
        if not torch.equal(self._beta, self._beta_then):
            self._forget()
        key = (rule, attempt)
        if key not in self._thresholds:
            self._thresholds[key] = self.planes(rule, attempt)
        return self._thresholds[key]


def _planes_of(numbers: Words) -> Words:
    """The PLANES binary digits of whole numbers, the highest first; (...) -> (..., PLANES)."""
    return (numbers[..., None] >> np.arange(PLANES - 1, -1, -1, dtype=np.uint64)) & np.uint64(1)
