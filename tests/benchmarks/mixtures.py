"""Mixtures by EM on lattices at T_c: exact KL(p || q) on 4 x 4, and what a mixture is worth as a proposal on 8 x 8.

python -m tests.benchmarks.mixtures --epochs 200 --seeds 3
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor

from ebmphys.energies import Ising, ferromagnet
from ebmphys.exact import kaufman
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.generators import BernoulliMixture
from ebmphys.likelihood import kl_to_exact, log_likelihood, neural_importance_sampling
from ebmphys.rng import generator
from ebmphys.samplers import Metropolis, NeuralMetropolis, Schedule, record
from ebmphys.stats import tau_int
from ebmphys.train import MixtureTraining, PseudoCounts, effective_components, fit_mixture
from tests.benchmarks.machines import independent

BETA_C = 0.44068679350977147
DRAWS = 20_000
MOST = 1024  # images of components, beyond which EM takes minutes
SYMMETRIES = {"none": {}, "flip": {"even": True}, "flip, shifts": {"even": True, "shape": (4, 4)}}


def fitted(
    data: Tensor, k: int, seed: int, settings: MixtureTraining, **options: object
) -> tuple[BernoulliMixture, float]:
    """A mixture of k components and the CPU seconds that EM took."""
    model = BernoulliMixture(data.shape[-1], k, device="cpu", **options)
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of empty components: the table has their effective number
        fit_mixture(model, data, settings, rng=generator(seed, "em", device="cpu"))
    return model, time.process_time() - began


def four_by_four(counts: list[int], seeds: int, settings: MixtureTraining) -> None:
    target = ferromagnet((4, 4), device="cpu")
    law, states = torch.softmax(log_weights(target, BETA_C), 0), visible_states(target)
    exact = kaufman((4, 4), BETA_C)
    print(f"4 x 4 at T_c, {DRAWS} draws, {settings.epochs} epochs, {settings.prior}, median of {seeds} seeds")
    print(f"{'symmetries':>14} {'k':>4} {'KL(p||q)':>9} {'in use':>7} {'u - u_exact':>12} {'CPU s':>7}")
    for name, options in SYMMETRIES.items():
        images = 32 if "shape" in options else 1
        for k in (k for k in counts if k * images <= MOST):
            rows = []
            for seed in range(seeds):
                draw = generator(seed, "data", device="cpu")
                data = states[torch.multinomial(law, DRAWS, replacement=True, generator=draw)]
                model, seconds = fitted(data, k, seed, settings, **options)
                q = model.log_prob(states).detach().double().exp()
                u = float((q * target.energy(states).double()).sum()) / 16 - exact.energy_per_site
                rows.append((kl_to_exact(target, BETA_C, model), effective_components(model), u, seconds))
            kl, used, u, seconds = (median(column) for column in zip(*rows, strict=True))
            print(f"{name:>14} {k:>4} {kl:>9.4f} {used:>7.1f} {u:>+12.4f} {seconds:>7.1f}", flush=True)


def as_proposal(target: Ising, model: BernoulliMixture, seed: int) -> str:
    """Effective share and c by importance sampling, and tau of |m| under neural Metropolis and mixed with sweeps."""
    run = neural_importance_sampling(model, target, BETA_C, 100_000, generator(seed, "nis", device="cpu"))
    heat, taus = run.summary()["specific_heat"], []
    for local in (None, Metropolis(target)):
        sampler = NeuralMetropolis(target, model, local)
        chains = sampler.init(100, beta=BETA_C, rng=generator(seed, "chains", device="cpu"))
        series = record(sampler, chains, Schedule(1000, burn_in=200), {"m": lambda x: x.mean(-1).abs()})["m"]
        taus.append(tau_int(series.numpy()).value)
    return f"{run.share:>8.4f} {heat.value:>7.3f} +- {heat.error:.3f} {taus[0]:>8.1f} {taus[1]:>8.1f}"


def eight_by_eight(counts: list[int], settings: MixtureTraining) -> None:
    target = ferromagnet((8, 8), device="cpu")
    data, held = independent(target, BETA_C, DRAWS + 5000, 0, "data").split([DRAWS, 5000])
    entropy = float(log_likelihood(target, held, BETA_C).mean())
    print(f"\n8 x 8 at T_c, {DRAWS} draws, c = {kaufman((8, 8), BETA_C).specific_heat:.3f}, flip and shifts built in")
    print(f"{'k':>4} {'KL(p||q)':>9} {'CPU s':>7} {'share':>8} {'c':>16} {'tau':>8} {'and sweep':>9}")
    for k in counts:
        model, seconds = fitted(data, k, 0, settings, even=True, shape=(8, 8))
        kl = entropy - float(log_likelihood(model, held).mean())
        print(f"{k:>4} {kl:>9.3f} {seconds:>7.1f} {as_proposal(target, model, 0)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--components", type=int, nargs="*", default=[1, 4, 16, 64, 256])
    parser.add_argument("--eight", type=int, nargs="*", default=[4, 16], help="components on 8 x 8")
    parser.add_argument("--sites", type=float, default=0.5, help="pseudo-counts of each value at each site")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = MixtureTraining(epochs=options.epochs, prior=PseudoCounts(sites=options.sites), monitor_every=10**6)
    if options.components:
        four_by_four(options.components, options.seeds, settings)
    if options.eight:
        eight_by_eight(options.eight, settings)


if __name__ == "__main__":
    main()
