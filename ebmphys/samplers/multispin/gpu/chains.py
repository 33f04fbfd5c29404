"""Chains whose bits are on a CUDA device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ebmphys.energies import Ising
from ebmphys.samplers.base import State
from ebmphys.samplers.compiled import seeds
from ebmphys.samplers.multispin.chains import BitChains
from ebmphys.samplers.multispin.gpu.kernel import WORDS
from ebmphys.samplers.multispin.gpu.launch import STRICT, Tables, Tuning, counted, sweep, turn
from ebmphys.samplers.multispin.layout import Layout, Words
from ebmphys.samplers.multispin.rules import Rule
from ebmphys.samplers.multispin.vector import LANES


class DeviceChains(BitChains):
    """Chains in words of 32 bits on the device of the model, a set bit for a spin that is up.

    words: (blocks, slots, WORDS), the words of ``PackedChains`` in halves, the lower first; key: the two words that all
    random numbers are made from, drawn from ``rng``; sweeps: how many there have been. Sweeps leave ``rng`` alone.
    """

    def __init__(
        self, model: Ising, layout: Layout, batch: tuple[int, ...], beta: Tensor, rng: torch.Generator
    ) -> None:
        super().__init__(model, layout, batch, beta, rng)
        self.tables = Tables(layout, rng.device)
        drawn = np.zeros((self.n_blocks, layout.n_slots, LANES), dtype=np.uint64)
        drawn[:, : len(layout.order)] = seeds((self.n_blocks, len(layout.order), LANES), rng)
        self.words = torch.empty(self.n_blocks, layout.n_slots, WORDS.value, dtype=torch.int32, device=rng.device)
        self.put_words(drawn)
        self.key = torch.from_numpy(seeds((1,), rng).view(np.int32)).to(rng.device, copy=True)
        self.sweeps = torch.zeros(1, dtype=torch.int64, device=rng.device)

    def host_words(self) -> Words:
        return self.words.cpu().numpy().copy().view(np.uint64)

    def put_words(self, words: Words) -> None:
        self.words.copy_(torch.from_numpy(words.view(np.int32)))
        turn(self.words, self.tables, 0, len(self.layout.ghosts))

    def opposite_bonds(self) -> Tensor:
        tables = self.tables
        return counted(self.words, tables, tables.bonds, tables.bond_flips, tables.bond_per)

    def up_spins(self) -> Tensor:
        return counted(self.words, self.tables, self.tables.alone, self.tables.zero, 0)

    def turn_over(self, chosen: Tensor) -> None:
        mask = np.broadcast_to(self.flip_mask(chosen), (self.n_blocks, 1, LANES)).copy().view(np.int32)
        self.words[:, : self.layout.zero_slot] ^= torch.from_numpy(mask).to(self.words.device)

    def state(self) -> State:
        return {
            "words": self.words.cpu().numpy().copy(),
            "key": self.key.cpu().numpy().copy(),
            "sweeps": self.sweeps.cpu().numpy().copy(),
            "place": self._place.copy(),
            "rng": self.rng.get_state().numpy(),
        }

    def restore(self, state: State) -> None:
        for name in ("words", "key", "sweeps"):
            getattr(self, name).copy_(torch.from_numpy(state[name]))
        self._place = state["place"].astype(np.int64)
        self._forget()
        self.rng.set_state(torch.from_numpy(state["rng"].astype(np.uint8)))

    def _forget(self) -> None:
        super()._forget()
        self._thresholds: dict[tuple[Rule, float], Tensor] = {}

    def thresholds(self, rule: Rule, attempt: float) -> Tensor:
        """Of every bit's probabilities the planes, (blocks, classes, PLANES, WORDS), or where one beta serves each
        block the numbers, (blocks, classes)."""
        if not torch.equal(self._beta, self._beta_then):
            self._forget()
        key = (rule, attempt)
        if key not in self._thresholds:
            self._thresholds[key] = self._made(rule, attempt).to(self.rng.device)
        return self._thresholds[key]

    def _made(self, rule: Rule, attempt: float) -> Tensor:
        distinct, kind = self._kinds()
        kind[len(self._place) :] = kind[max(0, len(self._place) - 1)]  # bits that are no chain's follow the last one
        kind = kind.reshape(self.n_blocks, -1)
        if (kind == kind[:, :1]).all():
            numbers = self._numbers(rule, distinct, attempt)[kind[:, 0]]
            return torch.from_numpy(numbers.astype(np.uint32).view(np.int32))
        return torch.from_numpy(self.planes(rule, attempt).view(np.int32))


def advance(chains: DeviceChains, rule: Rule, attempt: float, steps: int, tuning: Tuning = STRICT) -> None:
    """So many sweeps, handed to the device without waiting for it.

    Raises ValueError where ties are to be shared by chains of different beta.
    """
    thresholds = chains.thresholds(rule, attempt)
    if tuning.shared and thresholds.ndim > 2:
        raise ValueError(
            "shared ties need one beta in each block of 512 chains: put equal ones together, or do without"
        )
    for ahead in range(steps):
        sweep(chains.words, chains.tables, thresholds, int(rule), chains.key, chains.sweeps, ahead, tuning)
    chains.sweeps += steps
