"""Wasserstein distances of |m| and e/2 between machines and fresh data on 16 x 16 and 32 x 32, across T_c.

python -m tests.benchmarks.machines_large --sizes 16 32 --seconds 60

The table of D'Angelo and Boettcher (2020), whose RBM with 900 hidden units has means of 0.034 and 0.045 over their
temperatures, its draws filtered by a classifier; here every draw counts, and T_c stands beside their temperatures.
``floor`` is the distance between two sets of independent data of the same size. Data are independent chains of
Swendsen-Wang; a machine's chains start at data that it has not seen and take --steps steps of their own.
"""

from __future__ import annotations

import argparse
import os
import time
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from ebmphys.energies import BoltzmannMachine, ConvolutionalRBM, EnergyModel, Ising, ferromagnet
from ebmphys.exact import kaufman
from ebmphys.observables import energy_per_site, magnetization
from tests.benchmarks.machines import PACKED_K, Lesson, Machine, independent, own_draws, restricted

TEMPERATURES = (1.5, 2.0, 2.5, 2.75, 3.0, 4.0)
CRITICAL = 2.269185314
DRAWS = 10_000
FEW = 125  # configurations and chains an update of a machine that learns the same from every site
JUDGED = 4000  # chains of a machine, and fresh draws to hold them to


def short_couplings(lesson: Lesson) -> EnergyModel:
    model = BoltzmannMachine.translation_invariant(
        lesson.lattice, 2.0, point_group=True, biases=False, rng=lesson.rng("init"), device="cpu"
    )
    lesson.teach(model, lesson.pcd(), 0.02)
    return model


def small_filters(lesson: Lesson) -> EnergyModel:
    model = ConvolutionalRBM(lesson.lattice, 4, 1.0, biases=False, rng=lesson.rng("init"), device="cpu")
    lesson.teach(model, lesson.pcd(PACKED_K, FEW), 0.01, FEW)
    return model


MACHINES: dict[str, Machine] = {
    "Boltzmann machine, translation-invariant, reach 2": short_couplings,
    "convolutional RBM, 4 filters, reach 1": small_filters,
    "RBM, 256 hidden": partial(restricted, 256),
}


def seen(target: Ising, v: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return magnetization(v).double().abs().numpy(), energy_per_site(v, target).double().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[16, 32])
    parser.add_argument("--temperatures", type=float, nargs="*", default=sorted((*TEMPERATURES, CRITICAL)))
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU seconds a machine")
    parser.add_argument("--steps", type=int, default=300, help="steps of a machine's chains before they are judged")
    parser.add_argument("--only", default="", help="machines whose name holds this")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for size in options.sizes:
        target = ferromagnet((size, size), device="cpu")
        found: dict[str, list[tuple[float, float]]] = {}
        for t in options.temperatures:
            data = independent(target, 1 / t, DRAWS, options.seed, "data", size, f"{t:g}")
            fresh, starts = (independent(target, 1 / t, JUDGED, options.seed, k, size, f"{t:g}") for k in ("a", "b"))
            m, e = seen(target, fresh)
            exact = kaufman((size, size), 1 / t)
            print(f"{size} x {size}, T = {t:g}: exact u {exact.energy_per_site:.4f} c {exact.specific_heat:.4f}")
            for name, machine in {"floor": None, **MACHINES}.items():
                if machine is not None and options.only not in name:
                    continue
                start = time.process_time()
                if machine is None:
                    ours = seen(target, starts)
                else:
                    model = machine(Lesson(target.graph, data, options.seconds, options.seed))
                    assert isinstance(model, EnergyModel)
                    ours = seen(target, own_draws(model, starts, options.steps, options.seed)[:, : model.n_visible])
                distances = wasserstein_distance(ours[0], m), wasserstein_distance(ours[1], e) / 2
                if t != CRITICAL:
                    found.setdefault(name, []).append(distances)
                c = ours[1].var(ddof=1) * size**2 / t**2
                print(
                    f"{name:>50}: W_M {distances[0]:.4f} W_E {distances[1]:.4f} u {ours[1].mean():.4f} c {c:.3f} "
                    f"in {time.process_time() - start:.0f} CPU s",
                    flush=True,
                )
        for name, pairs in found.items():
            means = np.mean(pairs, axis=0)
            print(f"{size} x {size} {name}: mean W_M {means[0]:.4f}, mean W_E {means[1]:.4f}, without T_c", flush=True)


if __name__ == "__main__":
    main()
