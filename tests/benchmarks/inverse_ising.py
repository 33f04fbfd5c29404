"""Couplings of an 8 x 8 glass from 100,000 draws: relative error by method.

python -m tests.benchmarks.inverse_ising --draws 100000 --beta 0.7 --figure couplings.png
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import numpy as np
import torch

from ebmphys import figures
from ebmphys.energies import Ising, gaussian_couplings, plus_minus_couplings
from ebmphys.inverse import (
    InverseIsing,
    bethe,
    correlations,
    independent_pairs,
    naive_mean_field,
    pseudo_likelihood,
    relative_error,
    sessak_monasson,
    tap,
)
from ebmphys.lattice import Graph, Lattice
from ebmphys.rng import generator
from ebmphys.samplers import BlockGibbs, ReplicaExchange, Schedule, draws

EXPANSIONS = (naive_mean_field, tap, independent_pairs, bethe, sessak_monasson)


def equilibrium(model: Ising, beta: float, count: int, seed: int) -> torch.Tensor:
    """Draws of 100 ladders of replica exchange, 10 sweeps apart; -> (draw, chain, n)."""
    rungs, chains = 8, 100
    betas = torch.linspace(beta / 4, beta, rungs)
    exchange = ReplicaExchange(BlockGibbs(model), steps_between=5)
    run = exchange.init(chains, rungs, beta=betas, rng=generator(seed, "draws", device="cpu"))
    schedule = Schedule(max(count // chains, 2), thin=1, burn_in=100)
    return torch.stack([now.x[:, -1].to(torch.int8) for now in draws(exchange, run, schedule)])


def fits(x: torch.Tensor, graph: Graph) -> dict[str, tuple[InverseIsing, float]]:
    """Every method on the known graph, and on none; with the seconds that it took."""
    found: dict[str, tuple[InverseIsing, float]] = {}
    data = correlations(x)
    for known in (graph, None):
        for method in (*EXPANSIONS, pseudo_likelihood):
            start = time.process_time()
            fit = pseudo_likelihood(x, known) if method is pseudo_likelihood else method(data, known)
            name = fit.method + ("" if known else ", graph unknown")
            found[name] = fit, time.process_time() - start
    return found


def on_bonds(fit: InverseIsing, graph: Graph) -> tuple[np.ndarray, np.ndarray | None]:
    i, j = graph.bonds.T
    if fit.graph is graph:
        return fit.couplings, fit.coupling_errors
    return fit.matrix()[i, j], None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=100_000)
    parser.add_argument("--beta", type=float, default=0.7)
    parser.add_argument("--size", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    lattice = Lattice((options.size, options.size))
    for name, couplings in (("+-J", plus_minus_couplings), ("Gaussian", gaussian_couplings)):
        model = Ising(lattice, couplings(lattice, generator(options.seed, name, device="cpu")), device="cpu")
        x = equilibrium(model, options.beta, options.draws, options.seed)
        true = options.beta * model.couplings.double().numpy()
        everywhere = np.zeros((model.n_sites, model.n_sites))
        i, j = lattice.bonds.T
        everywhere[i, j] = everywhere[j, i] = true
        found = fits(x, lattice)
        print(f"{name} glass, beta = {options.beta}, {x.shape[0] * x.shape[1]} draws")
        print(f"{'method':>36} {'bonds':>8} {'all pairs':>10} {'CPU s':>7}")
        for method, (fit, seconds) in found.items():
            bonds, pairs = relative_error(on_bonds(fit, lattice)[0], true), relative_error(fit.matrix(), everywhere)
            print(f"{method:>36} {bonds:>8.4f} {pairs:>10.4f} {seconds:>7.2f}  {fit.warning}")
        if options.figure:
            shown = {key: on_bonds(fit, lattice) for key, (fit, _) in found.items() if fit.graph is lattice}
            path = options.figure.with_stem(f"{options.figure.stem}-{name.strip('+-').lower()}")
            path.write_bytes(figures.png(figures.couplings(true, shown, symbol="βJ")))


if __name__ == "__main__":
    main()
