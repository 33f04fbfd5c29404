"""Flips per nanosecond of the local samplers beside a plain torch checkerboard with roll and rand, in one run.

python -m tests.benchmarks.local_updates
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from ebmphys.energies import ferromagnet
from ebmphys.rng import default_device, generator
from ebmphys.samplers import BlockGibbs, Metropolis

BETA_C, REPEATS = 0.4406868, 5
SHAPES = ((64, 1), (64, 64), (64, 1024), (1024, 1))


def plain_checkerboard(size: int, chains: int, device: torch.device) -> Callable[[], None]:
    """What most people write: neighbour sums by roll over the whole lattice, a mask for each colour."""
    spins = torch.ones(chains, size, size, device=device)
    even = (torch.arange(size, device=device)[:, None] + torch.arange(size, device=device)) % 2 == 0

    def sweep() -> None:
        for colour in (even, ~even):
            field = spins.roll(1, 1) + spins.roll(-1, 1) + spins.roll(1, 2) + spins.roll(-1, 2)
            p = torch.sigmoid(2 * BETA_C * field)
            drawn = (torch.rand(spins.shape, device=device) < p).float() * 2 - 1
            spins.copy_(torch.where(colour, drawn, spins))

    return sweep


def ours(kind: type[BlockGibbs] | type[Metropolis], size: int, chains: int, device: torch.device) -> Callable[[], None]:
    sampler = kind(ferromagnet((size, size), device=device))
    state = sampler.init(chains, beta=BETA_C, rng=generator(1, device=device))
    return lambda: (sampler.step(state), None)[1]


def flips_per_nanosecond(sweep: Callable[[], None], flips: int, device: torch.device) -> float:
    steps = max(1, int(2e7) // flips)
    sweep()
    rates = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(steps):
            sweep()
        if device.type == "cuda":
            torch.cuda.synchronize()
        rates.append(flips * steps / (time.perf_counter() - start) / 1e9)
    return statistics.median(rates)


def main() -> None:
    device = default_device()
    print(
        f"{device}, {torch.get_num_threads()} thread(s), flips/ns, median of {REPEATS}; in brackets over the plain one"
    )
    for size, chains in SHAPES:
        flips = size * size * chains
        plain = flips_per_nanosecond(plain_checkerboard(size, chains, device), flips, device)
        line = f"L = {size:4}, {chains:4} chains: plain roll {plain:.4f}"
        for kind in (BlockGibbs, Metropolis):
            rate = flips_per_nanosecond(ours(kind, size, chains, device), flips, device)
            line += f", {kind.__name__} {rate:.4f} ({rate / plain:.2f})"
        print(line, flush=True)


if __name__ == "__main__":
    main()
