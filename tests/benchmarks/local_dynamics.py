"""tau of |m| under packed heat-bath sweeps at beta_c, its dynamic exponent, and independent |m| a second.

python -m tests.benchmarks.local_dynamics --sizes 8 16 32 64 128
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from ebmphys.energies import ferromagnet
from ebmphys.rng import generator
from ebmphys.samplers import MultiSpin
from ebmphys.stats import tau_int

BETA_C, CHAINS, DRAWS = 0.44068679350977147, 512, 600
GUESS = 0.05  # tau is about this times L^2.17, which sets the length of the run: burn-in 15 tau, series 60


def measure(size: int, seed: int) -> tuple[float, float, float]:
    """tau in sweeps, its error, and the time of a sweep of all chains in seconds."""
    model = ferromagnet((size, size), device="cpu")
    sampler = MultiSpin(model)
    chains = sampler.init(CHAINS, beta=BETA_C, rng=generator(seed, "local", size, device="cpu"))
    thin = max(1, round(6 * GUESS * size**2.17 / 60))
    sampler.advance(chains, DRAWS * thin // 4)
    series, start = [], time.perf_counter()
    for _ in range(DRAWS):
        sampler.advance(chains, thin)
        series.append(chains.magnetization(model.n_sites).abs().numpy())
    seconds = (time.perf_counter() - start) / (DRAWS * thin)
    tau = tau_int(np.stack(series))
    return tau.value * thin, tau.error * thin, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[8, 16, 32, 64])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    found = []
    for size in options.sizes:
        tau, error, seconds = measure(size, options.seed)
        found.append((tau, error))
        rate = CHAINS / (2 * tau * seconds)
        print(
            f"L = {size:4}: tau {tau:.2f} +- {error:.2f} sweeps, {rate:.0f} effective samples/s of {CHAINS} chains, "
            f"{rate / CHAINS:.3g} a chain",
            flush=True,
        )
    if len(found) > 1:
        tau, error = np.array(found).T
        slope, covariance = np.polyfit(np.log(options.sizes), np.log(tau), 1, w=tau / error, cov="unscaled")
        print(f"tau ~ L^z with z = {slope[0]:.3f} +- {covariance[0, 0] ** 0.5:.3f}")


if __name__ == "__main__":
    main()
