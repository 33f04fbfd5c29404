"""Chains whose spins are bits: the same face as any others, with ``x`` unpacked only when it is asked for."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ebmphys.energies import EnergyModel, Ising
from ebmphys.samplers.base import Chains, State
from ebmphys.samplers.compiled import seeds
from ebmphys.samplers.multispin.kernel import PLANES, turn_copies
from ebmphys.samplers.multispin.layout import BITS, Layout, as_bits, as_words
from ebmphys.samplers.multispin.readout import opposite_bonds, replica_rows, up_spins
from ebmphys.samplers.multispin.rules import Real, Rule, probabilities
from ebmphys.samplers.multispin.vector import LANES


class PackedChains(Chains):
    """Chains of an Ising model in words of 64 bits, a set bit for a spin that is up.

    words: (blocks, slots, LANES) as ``Layout`` says; streams: (blocks, 4, LANES), the state of the random numbers.
    ``rng`` seeds the streams and is left alone afterwards. ``reorder`` with a permutation moves no spins: it changes
    which bit belongs to which chain. beta is kept in float64.
    """

    def __init__(
        self, model: Ising, layout: Layout, batch: tuple[int, ...], beta: Tensor, rng: torch.Generator
    ) -> None:
        self.model, self.layout, self.rng = model, layout, rng
        self._batch = torch.Size(batch)
        per = layout.chains_per_block
        blocks = max(1, -(-self._batch.numel() // per))
        self.words = np.zeros((blocks, layout.n_slots, LANES), dtype=np.uint64)
        self.words[:, : len(layout.order)] = seeds((blocks, len(layout.order), LANES), rng)
        self.streams = seeds((blocks, 4, LANES), rng)
        self._place = np.arange(self._batch.numel())
        turn_copies(self.words, layout)
        self.beta = beta

    @property
    def batch(self) -> torch.Size:
        return self._batch

    @property
    def beta(self) -> Tensor:
        return self._beta

    @beta.setter
    def beta(self, value: Tensor) -> None:
        self._beta = value.to(torch.float64, copy=True)
        self._forget()

    def _forget(self) -> None:
        """Thresholds are of one beta for each bit, and made anew where either has changed."""
        self._thresholds: dict[tuple[Rule, float], NDArray[np.uint64]] = {}
        self._beta_then = self._beta.clone()

    @property
    def x(self) -> Tensor:
        """Spins -1 and +1 as float32, a copy; (*batch, n_sites). Assigning packs them."""
        up = np.unpackbits(self.bits(self.layout.n_sites), axis=-1, count=self.layout.n_sites)
        return torch.from_numpy(up).float().mul_(2).sub_(1)

    @x.setter
    def x(self, value: Tensor) -> None:
        layout = self.layout
        if value.shape != (*self._batch, layout.n_sites):
            raise ValueError(f"x must have shape {(*self._batch, layout.n_sites)}, got {tuple(value.shape)}")
        up = (value.reshape(-1, layout.n_sites) > 0).numpy()
        if layout.site_of is None:
            everyone = np.zeros((len(self.words) * BITS, layout.n_sites), dtype=bool)
            everyone[self._place] = up
            self.words[:, : layout.n_sites] = as_words(everyone.reshape(-1, BITS, layout.n_sites).swapaxes(1, 2))
        else:
            self.words[self._place, : len(layout.order)] = as_words(up[:, layout.site_of])
            turn_copies(self.words, layout)

    @torch.no_grad()
    def energy(self, model: EnergyModel) -> Tensor:
        """E of each chain, from counts of bonds and spins without unpacking; float64."""
        if model is not self.model:
            return model.energy(self.x)
        coupling, field = float(self.model.couplings.abs().max()), float(self.model.fields[0])
        opposite = self._of_chains(opposite_bonds(self.words, self.layout))
        energy = coupling * (2.0 * opposite - self.model.graph.n_bonds)
        if field:
            energy = energy - field * (2.0 * self._of_chains(up_spins(self.words, self.layout)) - self.layout.n_sites)
        return torch.from_numpy(energy).reshape(self._batch)

    def magnetization(self, n_visible: int) -> Tensor:
        m = 2.0 * self._of_chains(up_spins(self.words, self.layout)) / self.layout.n_sites - 1
        return torch.from_numpy(m).reshape(self._batch)

    def bits(self, n_visible: int) -> NDArray[np.uint8]:
        n = self.layout.n_sites
        if self.layout.site_of is None:
            rows = replica_rows(self.words, self.layout)[self._place].astype("<u8", copy=False).view(np.uint8)
            rows = rows[:, : -(-n // 8)]
        else:
            up = np.empty((len(self._place), n), dtype=np.uint8)
            up[:, self.layout.site_of] = as_bits(self.words[self._place, : len(self.layout.order)])
            rows = np.packbits(up, axis=-1)
        return rows.reshape(*self._batch, -1)

    def reorder(self, source: Tensor) -> None:
        chosen = source.cpu().numpy()
        if len(np.unique(chosen)) == len(self._place):
            self._place = self._place[chosen]
            self._forget()
        else:
            x = self.x
            self.x = x.reshape(-1, self.layout.n_sites)[source.cpu()].reshape(x.shape)

    def turn_over(self, chosen: Tensor) -> None:
        """Turn over every spin of the chains where ``chosen``, (*batch,) truth values."""
        flip = np.zeros(len(self.words) * self.layout.chains_per_block, dtype=bool)
        flip[self._place] = chosen.reshape(-1).numpy()
        if self.layout.site_of is None:
            mask = as_words(flip.reshape(-1, BITS))[:, None]
        else:
            mask = np.where(flip, np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0))[:, None, None]
        self.words[:, : self.layout.zero_slot] ^= mask

    def state(self) -> State:
        words = self.words.view(np.int64)
        return {
            "words": words.copy(),
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

    def thresholds(self, rule: Rule, attempt: float) -> NDArray[np.uint64]:
        """The planes of every bit's probabilities; -> (blocks, classes, PLANES, LANES)."""
        if not torch.equal(self._beta, self._beta_then):
            self._forget()
        key = (rule, attempt)
        if key not in self._thresholds:
            self._thresholds[key] = self._planes(rule, attempt)
        return self._thresholds[key]

    def beta_of_bits(self) -> Real:
        """Inverse temperature of every bit, (blocks, BITS); bits that are no chain's have one of the others'."""
        distinct, kind = self._kinds()
        return np.broadcast_to(distinct[kind].reshape(len(self.words), -1), (len(self.words), BITS)).copy()

    def _planes(self, rule: Rule, attempt: float) -> NDArray[np.uint64]:
        distinct, kind = self._kinds()
        planes = _planes_of(self._probabilities(rule, distinct, attempt))
        if self.layout.site_of is not None:
            return np.repeat(planes[kind][..., None] * np.uint64(0xFFFFFFFFFFFFFFFF), LANES, axis=-1)
        return as_words(np.moveaxis(planes.astype(bool)[kind.reshape(-1, BITS)], 1, -1))

    def _kinds(self) -> tuple[Real, NDArray[np.int64]]:
        """The distinct inverse temperatures, and which of them each place for a chain has."""
        betas = self._beta.expand(self._batch).reshape(-1).numpy()
        distinct, which = np.unique(betas, return_inverse=True)
        kind = np.zeros(len(self.words) * self.layout.chains_per_block, dtype=np.int64)
        kind[self._place] = which
        return distinct, kind

    def _probabilities(self, rule: Rule, betas: Real, attempt: float) -> Real:
        coupling, field = float(self.model.couplings.abs().max()), float(self.model.fields[0])
        return probabilities(rule, self.layout.neighbours.shape[1], betas, coupling, field, attempt)

    def _of_chains(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """(blocks, BITS) -> (chains,): picked for replicas, summed for the sites of one lattice."""
        every = counts.reshape(-1) if self.layout.site_of is None else counts.sum(-1)
        return every[self._place]


def _planes_of(p: Real) -> NDArray[np.uint64]:
    """The first PLANES binary digits of probabilities, rounded, the highest first; (...) -> (..., PLANES)."""
    whole = np.rint(p * 2.0**PLANES).clip(0, 2**PLANES - 1).astype(np.uint64)
    return (whole[..., None] >> np.arange(PLANES - 1, -1, -1, dtype=np.uint64)) & np.uint64(1)
