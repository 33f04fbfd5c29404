"""Sweeps in plain numbers, for the Triton kernels to be equal to.

They know nothing of words, slots' neighbours or planes: they go by the graph of the model, and compare whole numbers.
"""

import os

import numpy as np
import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton")

from ebmphys.energies import Ising, plus_minus_couplings
from ebmphys.lattice import Lattice
from ebmphys.rng import generator
from ebmphys.samplers.multispin.gpu import STRICT, DeviceChains, Tuning, advance
from ebmphys.samplers.multispin.rules import Rule, probabilities

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


THRESHOLD = 1e-4


# The interpreter's time goes by operations, whatever their width.
WIDE = STRICT if torch.cuda.is_available() else Tuning(rows=64)


UPDATES = ("heat_bath", "metropolis")


def glass(lattice, field=0.0):
    rng = generator(5, str(lattice.shape), lattice.geometry, device="cpu")
    return Ising(lattice, plus_minus_couplings(lattice, rng).to(DEVICE), field, device=DEVICE)


def uniform(lattice, coupling=1.0, field=0.0):
    return Ising(lattice, coupling, field, device=DEVICE)


MODELS = {
    "2x4": uniform(Lattice((2, 4))),
    "3x4 field": uniform(Lattice((3, 4)), 0.7, 0.3),
    "3x4 +-J": glass(Lattice((3, 4))),
    "2x2x3": uniform(Lattice((2, 2, 3))),
    "2x2x3 +-J field": glass(Lattice((2, 2, 3)), 0.4),
    "triangular 3x3": uniform(Lattice((3, 3), "triangular"), -1.0),
    "honeycomb 2x3": uniform(Lattice((2, 3), "honeycomb")),
    "honeycomb 2x3 +-J field": glass(Lattice((2, 3), "honeycomb"), -0.6),
    "chain": uniform(Lattice(10)),
    "chain field": uniform(Lattice(10), 1.0, 0.3),
}


def started(sampler, count, beta, seed=2):
    beta = torch.as_tensor(beta, dtype=torch.float64)
    return DeviceChains(sampler.model, sampler.layout, (count,), beta, generator(seed, device=DEVICE))


def philox(counter, key):
    """The generator as its authors write it, with whole numbers of 64 bits; (4, ...) and two words -> (4, ...)."""
    c, k = [np.asarray(v, dtype=np.uint64) for v in counter], [int(v) for v in key]
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        first, second = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [
            (second >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]),
            second & low,
            (first >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]),
            first & low,
        ]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return np.stack(np.broadcast_arrays(*c))


class Plain:
    """One sweep at a time of spins (chains, n_sites), going by the model alone.

    ``given``: random words (blocks, slots, 32, 16) in place of the generator's.
    """

    def __init__(self, chains, update, attempt=15 / 16, tuning=STRICT, given=None):
        self.model, self.layout, self.update, self.attempt = chains.model, chains.layout, update, attempt
        self.key = chains.key.cpu().numpy().view(np.uint32)
        self.beta = chains.beta.expand(chains.batch).cpu().numpy()
        self.tuning, self.given, self.sweeps = tuning, given, int(chains.sweeps)

    def __call__(self, x):
        x = x.clone().cpu().numpy().astype(np.int64)
        graph, layout = self.model.graph, self.layout
        sign = np.sign(self.model.couplings.cpu().numpy()).astype(np.int64)
        for colour in range(len(layout.colours) - 1):
            slots = layout.order[layout.colours[colour] : layout.colours[colour + 1]]
            sites = slots if layout.site_of is None else layout.site_of[slots].ravel()
            local = (x[:, graph.neighbours[sites]] * sign[graph.neighbour_bonds[sites]]).sum(-1)
            x[:, sites] = self.updated(x[:, sites], local, self.planes(len(x), slots))
        self.sweeps += 1
        return torch.from_numpy(x).float().to(DEVICE)

    def planes(self, n_chains, slots):
        """The 32 random words of each spin, and which bit of them is its own."""
        packed = self.layout.site_of is None
        block = np.arange(-(-n_chains // 512) if packed else n_chains)[:, None, None]
        if self.given is None:
            at = slots[:, None] * 16 + np.arange(16)
            counters = ((at, block, self.sweeps % 2**32, g + 8 * (self.sweeps >> 32)) for g in range(8))
            words = np.concatenate([philox(counter, self.key) for counter in counters])
        else:
            words = np.moveaxis(self.given[:, slots].astype(np.uint64), 2, 0)
        bit = np.tile(np.arange(512, dtype=np.uint64) % 32, len(block) if packed else len(slots))
        words = np.repeat(words, 32, axis=-1)  # (plane, block, slot, bit)
        if packed:
            return np.moveaxis(words, 2, 3).reshape(32, -1, len(slots))[:, :n_chains], bit[:n_chains, None]
        return words.reshape(32, n_chains, -1), bit

    def updated(self, own, local, drawn):
        z = self.layout.neighbours.shape[1]
        strength, field = self.model.couplings.abs().max().item(), self.model.fields[0].item()
        if self.update == "metropolis":
            rule = Rule.METROPOLIS_FIELD if field else Rule.METROPOLIS
            klass = (z + local) // 2 * 2 + (own > 0) if field else np.minimum((z - own * local) // 2, (z + 1) // 2)
        else:
            rule = Rule.HEAT_BATH_FIELD if field else Rule.HEAT_BATH
            klass = (z + local) // 2 if field else (z - np.abs(local)) // 2
        table = probabilities(rule, z, self.beta, strength, field, self.attempt)
        if rule == Rule.HEAT_BATH and z % 2 == 0:
            table = np.concatenate([table, np.full((len(table), 1), 0.5)], axis=1)
        numbers = np.rint(table * 2.0**32).clip(0, 2**32 - 1).astype(np.uint64)
        below = self.below(numbers[np.arange(len(own))[:, None], klass], drawn)
        if self.update == "metropolis":
            return np.where(below, -own, own)
        return np.where(below ^ (local > 0 if rule == Rule.HEAT_BATH else False), 1, -1)

    def below(self, target, drawn):
        words, bit = drawn
        bits = (words >> bit) & np.uint64(1)
        number = sum(bits[plane] << np.uint64(31 - plane) for plane in range(32))
        if not self.tuning.shared:
            return number < target
        fresh = np.uint64(self.tuning.fresh)
        rest = np.uint64(32) - fresh
        a, b, c = (words[self.tuning.fresh - 4 + k] for k in range(3))
        common = a ^ turned(b, 8) ^ turned(c, 16)
        settled = common < ((target << fresh) & np.uint64(0xFFFFFFFF))
        top, aim = number >> rest, target >> rest
        return (top < aim) | ((top == aim) & settled)


def turned(words, by):
    return ((words << np.uint64(by)) | (words >> np.uint64(32 - by))) & np.uint64(0xFFFFFFFF)


def same_after(sampler, chains, sweeps, tuning=WIDE):
    """Whether kernels and plain numbers agree after so many sweeps."""
    plain, x = Plain(chains, sampler.update, sampler.attempt, tuning), chains.x
    advance(chains, sampler.rule, sampler.attempt, sweeps, tuning)
    for _ in range(sweeps):
        x = plain(x)
    return torch.equal(chains.x, x)


BETAS = {"one beta": 0.4, "many": torch.linspace(0.1, 1.2, 300, dtype=torch.float64)}
