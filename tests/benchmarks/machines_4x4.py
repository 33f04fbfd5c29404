"""Exact KL(p || q) of every machine on the 4 x 4 Ising lattice, after the same CPU seconds on one thread.

python -m tests.benchmarks.machines_4x4 --seconds 60 --seeds 3
"""

from __future__ import annotations

import argparse
import os
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from ebmphys.energies import ferromagnet
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.likelihood import kl_to_exact
from ebmphys.rng import generator
from tests.benchmarks.machines import Lesson, machines

TEMPERATURES = (1.8, 2.269185314, 3.0)
DRAWS = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU seconds a machine")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", default="", help="machines whose name holds this")
    options = parser.parse_args()
    torch.set_num_threads(1)
    target = ferromagnet((4, 4), device="cpu")
    states = visible_states(target)
    print(f"KL(p || q) in nats, {options.seconds:g} CPU s, median (and worst) of {options.seeds} seeds")
    print(f"{'':>42} " + " ".join(f"{f'T = {t:.4g}':>20}" for t in TEMPERATURES))
    for name, machine in machines(64, 4).items():
        if options.only not in name:
            continue
        cells = []
        for t in TEMPERATURES:
            law = torch.softmax(log_weights(target, 1 / t), 0)
            found = []
            for seed in range(options.seeds):
                rng = generator(seed, "data", device="cpu")
                data = states[torch.multinomial(law, DRAWS, replacement=True, generator=rng)]
                model = machine(Lesson(target.graph, data, options.seconds, seed))
                found.append(kl_to_exact(target, 1 / t, model))
            cells.append(f"{median(found):.5f} ({max(found):.5f})")
        print(f"{name:>42} " + " ".join(f"{cell:>20}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
