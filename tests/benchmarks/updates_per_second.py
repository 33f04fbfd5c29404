"""Updates of PCD-10 a CPU second, batch and chains of 500, one thread: ours, its peers and the matrix products alone.

python -m tests.benchmarks.updates_per_second --sizes 64 256 --seconds 2 --rounds 5

All take turns in one run, so a busy machine slows all alike: trust the ratios. ``rbms`` runs where it is installed.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from ebmphys.energies import RBM
from ebmphys.objectives import ContrastiveDivergence
from ebmphys.rng import generator
from ebmphys.train import Training, fit
from ebmphys.units import Bit, Spin, Unit

K, BATCH, ROWS, RATE = 10, 500, 4000, 1e-3  # few rows: fit looks at all of them before it begins
Run = Callable[[int], None]  # so many updates


def data_of(n: int) -> torch.Tensor:
    return (torch.rand(ROWS, n, generator=generator(1, "data", device="cpu")) < 0.5).float()


def products(n: int) -> Run:
    """What no code on torch can do without: 2 K + 2 products for the phases, 2 for the gradient."""
    v, h = torch.rand(BATCH, n), torch.rand(BATCH, n)
    weights, gradient = torch.randn(n, n), torch.empty(n, n)

    def run(updates: int) -> None:
        for _ in range(updates):
            for _ in range(K):
                torch.mm(v, weights, out=h)
                torch.mm(h, weights.T, out=v)
            for _ in range(2):  # means of the hidden units for the data and for the chains
                torch.mm(v, weights, out=h)
                torch.mm(v.T, h, out=gradient)
            v.copy_(h.fill_(0.5))

    return run


def plain(n: int) -> Run:
    """A loop as many write it: rand < p, gradients by hand, plain gradient descent."""
    data = data_of(n)
    weights, a, b = torch.randn(n, n) * 0.01, torch.zeros(n), torch.zeros(n)
    chains = data[:BATCH].clone()

    def run(updates: int) -> None:
        nonlocal chains
        for _ in range(updates):
            v = data[torch.randint(ROWS, (BATCH,))]
            for _ in range(K):
                hidden = torch.sigmoid(chains @ weights + b)
                h = (torch.rand_like(hidden) < hidden).float()
                visible = torch.sigmoid(h @ weights.T + a)
                chains = (torch.rand_like(visible) < visible).float()
            up, down = torch.sigmoid(v @ weights + b), torch.sigmoid(chains @ weights + b)
            weights.add_(v.T @ up - chains.T @ down, alpha=RATE / BATCH)
            a.add_(v.mean(0) - chains.mean(0), alpha=RATE)
            b.add_(up.mean(0) - down.mean(0), alpha=RATE)

    return run


def peer(n: int) -> Run:
    """The update of rbms' own training loop, without its progress bar and its files."""
    from rbms import BBRBM

    data, weights = data_of(n), torch.ones(BATCH, 1)
    model = BBRBM(torch.randn(n, n) * 0.01, torch.zeros(n), torch.zeros(n))
    parameters = model.parameters()
    optimizer = torch.optim.SGD(parameters, lr=RATE)
    chains = model.init_chains(num_samples=BATCH)

    def run(updates: int) -> None:
        nonlocal chains
        for _ in range(updates):
            v = data[torch.randint(ROWS, (BATCH,))]
            batch = model.init_chains(num_samples=BATCH, weights=weights, start_v=v)
            chains = model.sample_state(chains=chains, n_steps=K)
            model.compute_gradient(data=batch, chains=chains, centered=True)
            optimizer.step()

    return run


def ours(n: int, unit: Unit, flips: bool) -> Run:
    """The whole of ``fit``: shuffled batches, Adam, averaged parameters, learning rate schedule, records."""
    low, high = unit.values
    data = low + (high - low) * data_of(n)
    model = RBM(n, n, unit, unit, rng=generator(1, "init", device="cpu"), device="cpu")
    objective = ContrastiveDivergence(K, generator(1, "chains", device="cpu"), n_chains=BATCH, flips=flips)

    def run(updates: int) -> None:
        rows = data[: updates * BATCH]
        settings = Training(epochs=-(-updates * BATCH // len(rows)), batch_size=BATCH, learning_rate=RATE)
        fit(model, rows, objective, settings, rng=generator(2, device="cpu"))

    return run


def entrants(n: int) -> dict[str, Run]:
    runs = {"matrix products alone": products(n), "plain loop, rand < p": plain(n)}
    if find_spec("rbms") is not None:
        runs["rbms"] = peer(n)
    runs |= {f"ebmphys, {unit.name}s": ours(n, unit, flips=False) for unit in (Bit(), Spin())}
    return runs | {"ebmphys, spins with flips": ours(n, Spin(), flips=True)}


def rates(runs: dict[str, Run], seconds: float, rounds: int) -> dict[str, float]:
    """Updates per CPU second: the median over rounds in which each has its turn."""
    counts = {}
    for name, run in runs.items():
        run(2)  # kernels compiled, buffers there
        began = time.process_time()
        run(40)
        counts[name] = max(40, int(seconds / (time.process_time() - began) * 40))
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            began = time.process_time()
            run(counts[name])
            found[name].append(counts[name] / (time.process_time() - began))
    return {name: median(values) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256], help="visible units, and as many hidden")
    parser.add_argument("--seconds", type=float, default=2.0, help="CPU seconds of a turn")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for n in options.sizes:
        measured = rates(entrants(n), options.seconds, options.rounds)
        alone, loop = measured["matrix products alone"], measured["plain loop, rand < p"]
        for name, rate in measured.items():
            against = f"{rate / loop:5.2f} of the plain loop's rate, {alone / rate:5.2f} times the products' time"
            print(f"{n:>4}/{n:<4} {name:>26}: {rate:7.1f} updates a CPU second, {against}", flush=True)


if __name__ == "__main__":
    main()
