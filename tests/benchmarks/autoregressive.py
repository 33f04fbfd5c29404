"""Autoregressive networks on 50,000 configurations of L x L Ising lattices at T_c, one CPU thread.

python -m tests.benchmarks.autoregressive --sizes 4 8 --seconds 60
python -m tests.benchmarks.autoregressive --energy --seconds 60

KL(p || q) along the training and at its end, by enumeration at L = 4, else <q/p - 1 - log(q/p)> over fresh draws of p
(the mean of log p/q with a control variate whose average is zero); then that of the law averaged over symmetries. Of
the models' own draws u, c, |m|, as they are and with their importance weights, and the effective share of these.
``--energy``: trained on the energy alone, with the relative error of F_q.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn

from ebmphys.energies import Ising, ferromagnet, gaussian_couplings
from ebmphys.exact import kaufman
from ebmphys.generators import MADE, Autoregressive, FrontierNetwork, PixelCNN, Symmetrised, TractableModel
from ebmphys.lattice import Graph
from ebmphys.likelihood import kl_to_exact, log_likelihood, log_partition, neural_importance_sampling
from ebmphys.objectives import MaximumLikelihood, Objective, VariationalFreeEnergy, variational_free_energy
from ebmphys.observables import energy_per_site, magnetization, summarize
from ebmphys.rng import generator
from ebmphys.train import LatticeMoves, Training, anneal, fit
from tests.benchmarks.machines import independent

BETA_C = 0.44068679350977147
DRAWS, FRESH = 50_000, 20_000
ROWS = 2000  # of the fresh draws, for a law averaged over symmetries

Make = Callable[[Ising, torch.Generator], Autoregressive]


def made(hidden: tuple[int, ...], target: Ising, rng: torch.Generator) -> Autoregressive:
    return MADE(target.n_sites, hidden, symmetric=True, rng=rng, device="cpu")


def pixelcnn(channels: int, target: Ising, rng: torch.Generator) -> Autoregressive:
    return PixelCNN(target.graph, channels, symmetric=True, rng=rng, device="cpu")


def frontier(hidden: tuple[int, ...], target: Ising, rng: torch.Generator) -> Autoregressive:
    return FrontierNetwork(target.graph, hidden, symmetric=True, rng=rng, device="cpu")


# A network, the batch and the learning rate that it was found to like.
MODELS: dict[str, tuple[Make, int, float]] = {
    "MADE 256-256": (partial(made, (256, 256)), 200, 2e-3),
    "PixelCNN 16": (partial(pixelcnn, 16), 100, 4e-3),
    "frontier 32-32": (partial(frontier, (32, 32)), 100, 6e-3),
    "frontier 64-64": (partial(frontier, (64, 64)), 100, 6e-3),
}


@torch.no_grad()
def divergence(target: Ising, fresh: Tensor, model: nn.Module) -> tuple[float, float]:
    """KL(p || q) in nats and its error."""
    assert isinstance(model, TractableModel)
    if target.n_sites <= 16 and isinstance(model, Autoregressive):
        return kl_to_exact(target, BETA_C, model), 0.0
    log_ratio = torch.cat([model.log_prob(rows).double() for rows in fresh.split(1000)])
    log_ratio -= log_likelihood(target, fresh, BETA_C)
    terms = torch.expm1(log_ratio) - log_ratio
    return float(terms.mean()), float(terms.std()) / len(fresh) ** 0.5


def train(model: Autoregressive, data: Tensor, fresh: Tensor, target: Ising, batch: int, rate: float, seconds: float):
    def kl(model: nn.Module, objective: Objective) -> float:
        return divergence(target, fresh[:ROWS], model)[0]

    epochs = 10**6
    settings = Training(epochs, batch, learning_rate=rate, cpu_seconds=seconds, monitor_every=1)
    moves, rng = [LatticeMoves(target.graph)], generator(0, "fit", device="cpu")
    return fit(model, data, MaximumLikelihood(), settings, rng=rng, augment=moves, monitors={"kl": kl})


def judged(model: TractableModel, target: Ising, draws: int, *path: str | int) -> str:
    began = time.process_time()
    x = model.draw(draws, generator(0, "drawn", *path, device="cpu"))
    rate = draws / (time.process_time() - began)
    series = [f(x).double().numpy()[None] for f in (partial(energy_per_site, model=target), magnetization)]
    found = summarize(*series, BETA_C, target.n_sites)
    weighed = neural_importance_sampling(model, target, BETA_C, draws, generator(0, "weighed", *path, device="cpu"))
    names = {"u": "energy_per_site", "c": "specific_heat", "|m|": "abs_magnetization"}
    each = "  ".join(f"{short} {found[n].value:.4f} +- {found[n].error:.4f}" for short, n in names.items())
    right = weighed.summary()
    each += "; weighed " + "  ".join(f"{k} {right[n].value:.4f} +- {right[n].error:.4f}" for k, n in names.items())
    return f"{each}  ESS {weighed.share:.4f}  {rate:.0f} draws/s"


def on_data(side: int, seconds: float, only: str) -> None:
    target = ferromagnet((side, side), device="cpu")
    data, fresh = (independent(target, BETA_C, n, 0, name) for name, n in (("data", DRAWS), ("fresh", FRESH)))
    exact = kaufman((side, side), BETA_C)
    m = float(magnetization(fresh).abs().mean())
    print(
        f"{side} x {side}: exact u {exact.energy_per_site:.4f} c {exact.specific_heat:.4f}, |m| of fresh data {m:.4f}"
    )
    for name, (make, batch, rate) in MODELS.items():
        if only not in name:
            continue
        model = make(target, generator(0, "weights", device="cpu"))
        history = train(model, data, fresh, target, batch, rate, seconds)
        at, kls = history.column("seconds"), history.column("kl")
        curve = [int((at >= seconds * part).argmax()) for part in (0.125, 0.25, 0.5)]
        print(f"  {name}: KL " + ", ".join(f"{kls[i]:.4f} ({at[i]:.0f} s)" for i in curve), end="")
        value, error = divergence(target, fresh, model)
        print(f", {value:.5f} +- {error:.5f} ({at[-1]:.0f} s)")
        with torch.no_grad():
            likelihoods = [float(log_likelihood(model, rows[:FRESH]).mean()) for rows in (data, fresh)]
        print("    log-likelihood: train {:.4f}, test {:.4f}".format(*likelihoods))
        print(f"    {judged(model, target, FRESH, name)}")
        for step in (None, side // 2):
            averaged = Symmetrised(model, target.graph, translations=step)
            value, error = divergence(target, fresh[:ROWS], averaged)
            few = judged(averaged, target, ROWS, name, len(averaged.moves))
            print(
                f"    averaged over {len(averaged.moves)} symmetries: KL {value:.5f} +- {error:.5f}; {few}", flush=True
            )


def on_energy(name: str, target: Ising, beta: float, model: Autoregressive, seconds: float, rate: float) -> None:
    free_energy = -log_partition(target, beta) / beta
    objective = VariationalFreeEnergy(target, beta, generator(0, "draws", device="cpu"), annealing=300)
    settings = Training(10**6, 200, learning_rate=rate, cpu_seconds=seconds, averaging=16)
    history = anneal(model, objective, settings, rng=generator(0, "fit", device="cpu"))
    found = variational_free_energy(model, target, beta, FRESH, generator(0, "judged", device="cpu"))
    excess, error = (found.value - free_energy) / abs(free_energy), found.error / abs(free_energy)
    weighed = neural_importance_sampling(model, target, beta, FRESH, generator(0, "weighed", device="cpu"))
    print(
        f"{name}: F {free_energy:.4f}, F_q {found.value:.4f}, relative error {excess:.2e} +- {error:.1e}, "
        f"ESS {weighed.share:.4f}, {history[-1]['updates']} updates",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU seconds a model")
    parser.add_argument("--only", default="", help="models whose name holds this")
    parser.add_argument("--energy", action="store_true", help="train on energies alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.energy:
        for side in options.sizes:
            on_data(side, options.seconds, options.only)
        return
    lattice, glass = ferromagnet((16, 16), device="cpu"), sherrington_kirkpatrick(20)
    rng = generator(0, "weights", device="cpu")
    on_energy("16 x 16, beta 0.44", lattice, 0.44, frontier((32, 32), lattice, rng), options.seconds, 4e-3)
    for beta in (0.5, 1.0, 2.0):
        on_energy(f"SK, N = 20, beta {beta}", glass, beta, made((100,), glass, rng), options.seconds, 4e-3)


def sherrington_kirkpatrick(n: int) -> Ising:
    """J_ij from N(0, 1/N) on every pair."""
    graph = Graph(n, [(i, j) for i in range(n) for j in range(i)])
    return Ising(graph, gaussian_couplings(graph, generator(0, "glass", device="cpu"), 0.0, n**-0.5), device="cpu")


if __name__ == "__main__":
    main()
