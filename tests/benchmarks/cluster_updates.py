"""Cluster updates a second of one chain at beta_c beside peapods (where installed), and what they are worth.

python -m tests.benchmarks.cluster_updates --sizes 32 128 512 --tau-sizes 16 32 64 128
"""

from __future__ import annotations

import argparse
import importlib
import math
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch

from ebmphys.energies import ferromagnet
from ebmphys.rng import generator
from ebmphys.samplers.cluster import SwendsenWang, Wolff
from ebmphys.stats import tau_int

BETA_C, REPEATS = 0.44068679350977147, 5
KINDS = {"Swendsen-Wang": SwendsenWang, "Wolff": Wolff}
PEER_MODES = {"Swendsen-Wang": "sw", "Wolff": "wolff"}


def equilibrated(kind: str, size: int):
    """A sampler and one chain at beta_c after 100 Swendsen-Wang updates."""
    model = ferromagnet((size, size), device="cpu")
    chains = SwendsenWang(model).init(1, beta=BETA_C, rng=generator(1, kind, size, device="cpu"))
    SwendsenWang(model).advance(chains, 100)
    return KINDS[kind](model), chains


def median_seconds(run: Callable[[], None]) -> float:
    run()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def updates_per_second(kind: str, size: int, seconds: float) -> float:
    sampler, chains = equilibrated(kind, size)
    sampler.advance(chains, 50)  # the first call compiles
    start = time.perf_counter()
    sampler.advance(chains, 50)
    steps = max(10, int(50 * seconds / (time.perf_counter() - start)))
    return steps / median_seconds(lambda: sampler.advance(chains, steps))


def peer_updates_per_second(kind: str, size: int, seconds: float) -> float | None:
    """peapods updates clusters between Metropolis sweeps, so the sweeps are timed without them and taken off."""
    try:
        peapods = importlib.import_module("peapods")
    except ImportError:
        return None
    model = peapods.Ising((size, size), temperatures=np.array([1 / BETA_C]))

    def run(sweeps: int, **clusters) -> None:
        model.sample(sweeps, warmup_ratio=0.0, sequential=True, **clusters)

    clusters = {"cluster_update_interval": 1, "cluster_mode": PEER_MODES[kind]}
    run(200, cluster_update_interval=1, cluster_mode="sw")
    start = time.perf_counter()
    run(10, **clusters)
    steps = max(10, int(10 * seconds / (time.perf_counter() - start)))
    both = median_seconds(lambda: run(steps, **clusters))
    return steps / max(both - median_seconds(lambda: run(steps)), 1e-9)


def speed(sizes: list[int], seconds: float) -> None:
    print(f"updates/s of one chain at beta_c, {torch.get_num_threads()} thread(s), median of {REPEATS}")
    for size in sizes:
        for kind in KINDS:
            ours, peer = updates_per_second(kind, size, seconds), peer_updates_per_second(kind, size, seconds)
            beside = "" if peer is None else f", peapods {peer:.0f} ({ours / peer:.2f})"
            print(f"L = {size:4} {kind:>13}: {ours:.0f}{beside}", flush=True)


def autocorrelation(kind: str, size: int, steps: int) -> tuple[float, float, float]:
    """tau of the energy in sweeps, its error, and independent energies a second (time of the energy left out)."""
    sampler, chains = equilibrated(kind, size)
    series, spent, touched = np.empty(steps), 0.0, 0.0
    for number in range(steps):
        start = time.perf_counter()
        happened = sampler.step(chains)
        spent += time.perf_counter() - start
        touched += float(happened["cluster_size"][0]) / size**2 if "cluster_size" in happened else 1.0
        series[number] = float(chains.energy(sampler.model)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tau = tau_int(series)
    sweeps = touched / steps
    return tau.value * sweeps, tau.error * sweeps, steps / (2 * tau.value) / spent


def dynamics(sizes: list[int], steps: int) -> None:
    print(f"tau of the energy in sweeps (Wolff: steps x <|C|>/N), {steps} steps")
    for kind in KINDS:
        found = [autocorrelation(kind, size, steps) for size in sizes]
        for size, (tau, error, rate) in zip(sizes, found, strict=True):
            print(f"L = {size:4} {kind:>13}: tau {tau:.2f} +- {error:.2f}, {rate:.0f} effective samples/s", flush=True)
        if len(sizes) > 1:
            logs = [math.log(tau) for tau, _, _ in found]
            weights = [tau / error for tau, error, _ in found]
            z = np.polyfit(np.log(sizes), logs, 1, w=weights)[0]
            print(f"{kind}: tau ~ L^z with z = {z:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[32, 128, 512])
    parser.add_argument("--tau-sizes", type=int, nargs="*", default=[16, 32, 64, 128])
    parser.add_argument("--steps", type=int, default=10_000, help="steps of the series for tau")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of each of the five timed runs")
    options = parser.parse_args()
    speed(options.sizes, options.seconds)
    if options.tau_sizes:
        dynamics(options.tau_sizes, options.steps)


if __name__ == "__main__":
    main()
