"""A VAE's latent as order parameter, and a conditional VAE at D'Angelo's temperatures, on a square lattice.

python -m tests.benchmarks.latent_order --sizes 16 32 --seconds 60

VAEs learn configurations of T in [1, 4]: the correlation of the best latent with m (aim: 0.99), and T(L) from the peak
of N (<z^2> - <|z|>^2) on configurations not seen before, beside the same of m itself; with two sizes or more T_c from
T(L) = T_c + a / L. Conditional VAEs learn the same rows with their temperatures, for --seconds each, VAEs of one
temperature the rows of theirs, for the same seconds together, and all are judged unfiltered against fresh data by the
Wasserstein distances of |m| and e/2 at the temperatures of D'Angelo and Boettcher (2020), whose own, filtered by a
classifier, have means of 0.023 and 0.029. With --figures the figures of the latents are written to that folder.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy.stats import spearmanr, wasserstein_distance
from torch import Tensor

from ebmphys.energies import Ising, ferromagnet
from ebmphys.exact import critical_temperature
from ebmphys.figures import latent_against, latent_order, latent_plane, png, strip
from ebmphys.generators import VAE, AutoregressiveVAE, ConditionalVAE, Convolutions, LatentVariableModel, Temperature
from ebmphys.latent import (
    OrderCurve,
    Peak,
    aggregate,
    codes,
    correlations,
    critical_from_sizes,
    interpolation,
    latent_use,
    odd_means,
    order_curve,
    susceptibility_peak,
    traversal,
)
from ebmphys.objectives import ELBO, Conditional
from ebmphys.observables import energy_per_site, magnetization
from ebmphys.rng import generator
from ebmphys.train import GlobalFlip, LatticeMoves, OnVisible, Training
from ebmphys.train import fit as fit_model
from ebmphys.units import Spin
from tests.benchmarks.machines import independent
from tests.benchmarks.machines_large import TEMPERATURES as JUDGED

TEMPERATURES = (1.0, 1.25, 1.5, 1.75, 1.9, 2.0, 2.1, 2.2, 2.25, 2.3, 2.35, 2.4, 2.45, 2.5, 2.6, 2.75, 3.0, 3.5, 4.0)
PEAK = (2.26, 2.28, 2.3, 2.32, 2.34, 2.36, 2.38, 2.4, 2.42, 2.44)  # where the susceptibility is looked at
LEARNING_RATE, CONDITIONAL_RATE = 2e-3, 6e-3
# Hidden layers either way, and latents: the freer the network, the less is its latent a straight line in m.
NETWORKS: dict[str, tuple[tuple[int, ...], int]] = {
    "VAE, linear, 1 latent": ((), 1),
    "VAE, 128 hidden, 1 latent": ((128,), 1),
    "VAE, 128 hidden, 2 latents": ((128,), 2),
}


def cvaes(size: int, rng: torch.Generator) -> dict[str, ConditionalVAE]:
    n, range_ = size**2, [Temperature(1.0, 4.0)]
    grid = Convolutions((size, size), (16, 32))
    return {
        "CVAE, 8 latents": ConditionalVAE(n, range_, (256,), 8, symmetric=True, rng=rng, device="cpu"),
        "CVAE, convolutional, 16 latents": ConditionalVAE(
            n, range_, (128,), 16, convolutions=grid, symmetric=True, rng=rng, device="cpu"
        ),
        "CVAE, autoregressive decoder": ConditionalVAE(
            n, range_, (128,), 4, decoder_hidden=(512,), symmetric=True, rng=rng, device="cpu"
        ),
    }


def sets(target: Ising, n: int, seed: int, name: str, temperatures: tuple[float, ...]) -> dict[float, Tensor]:
    """Independent configurations of each temperature, each turned over or not: Swendsen-Wang does so by itself."""
    size = target.n_sites
    return {t: independent(target, 1 / t, n, seed, name, size, f"{t:g}") for t in temperatures}


def orders(target: Ising, learned: dict[float, Tensor], options: argparse.Namespace) -> dict[str, Peak]:
    """Where the susceptibility of m is highest, and that of each network's latent."""
    n = target.n_sites
    fresh = sets(target, options.judged, options.seed, "fresh", TEMPERATURES)
    near = fresh | sets(target, options.judged, options.seed, "near", PEAK)
    curves = {"m": order_curve({t: magnetization(x).double().numpy()[None] for t, x in near.items()}, n)}
    for name, (hidden, latents) in NETWORKS.items():
        rng = generator(options.seed, "vae", device="cpu")
        model = VAE(n, hidden, latents, rng=rng, device="cpu")
        settings = Training(epochs=10**6, cpu_seconds=options.seconds, learning_rate=LEARNING_RATE)
        moves = [GlobalFlip(Spin()), LatticeMoves(target.graph)]
        fit_model(model, torch.cat(list(learned.values())), ELBO(rng, warm_up=500), settings, rng=rng, augment=moves)
        best = look(name, model, target, fresh)
        curves[name] = order_curve({t: odd_means(model, x)[None, :, best] for t, x in near.items()}, n)
        if options.figures:
            draw(model, target, fresh, best, {key: curves[key] for key in ("m", name)}, options.figures / name)
    peaks = {name: susceptibility_peak(curve) for name, curve in curves.items()}
    for name, peak in peaks.items():
        print(f"T(L) of {name}: {peak.temperature:.4f}({peak.error:.4f}) {peak.warning}", flush=True)
    return peaks


def look(name: str, model: VAE, target: Ising, fresh: dict[float, Tensor]) -> int:
    """Print what the latents are about; returns the one that is most about m."""
    v = torch.cat(list(fresh.values()))
    t = np.repeat(list(fresh), len(v) // len(fresh))
    m = magnetization(v).double().numpy()
    found, law = codes(model, v), aggregate(codes(model, v))
    use = latent_use(found)
    r = correlations(found, {"m": m, "|m|": abs(m), "e": energy_per_site(v, target).numpy(), "T": t})
    best = r.best("m")
    rank = spearmanr(found.mean[:, best], m).statistic
    print(f"{name}: activity {use.activity.round(3)} KL {use.kl.round(3)}, aggregate's {law.kl.round(4)} {use.warning}")
    for latent in range(model.latent):
        pairs = zip(r.names, r.value[latent], r.error[latent], strict=True)
        print(f"latent {latent}: " + ", ".join(f"r({name}) {value:+.4f}({e:.4f})" for name, value, e in pairs))
    print(f"rank correlation of latent {best} with m: {rank:+.4f}", flush=True)
    return best


def draw(
    model: VAE, target: Ising, fresh: dict[float, Tensor], best: int, curves: dict[str, OrderCurve], folder: Path
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    v = torch.cat(list(fresh.values()))
    t, m = np.repeat(list(fresh), len(v) // len(fresh)), magnetization(v).double().numpy()
    shape, z = target.graph.shape, codes(model, v).mean
    values = np.linspace(-2, 2, 9)
    along = traversal(model, best, values).means.reshape(-1, *shape)
    between = interpolation(model, v[0], v[-1]).means.reshape(-1, *shape)
    figures = {
        "against_m": latent_against(m, z[:, best], t),
        "order": latent_order(curves, critical_temperature()),
        "traversal": strip(along, values, f"$z_{best}$"),
        "interpolation": strip(between, np.linspace(0, 1, 9), "t"),
    }
    if model.latent > 1:
        figures["plane"] = latent_plane(z, t)
    for name, figure in figures.items():
        (folder / f"{name}_{shape[0]}.png").write_bytes(png(figure))


def vaes(n: int) -> dict[str, Callable[[torch.Generator], LatentVariableModel]]:
    """One of its own for each temperature."""
    return {
        "VAE a temperature, 8 latents": lambda rng: VAE(n, (256,), 8, symmetric=True, rng=rng, device="cpu"),
        "VAE a temperature, autoregressive": lambda rng: AutoregressiveVAE(
            n, (128,), 4, decoder_hidden=(512,), symmetric=True, rng=rng, device="cpu"
        ),
    }


def apart(
    make: Callable[[torch.Generator], LatentVariableModel], v: Tensor, target: Ising, options: argparse.Namespace
) -> LatentVariableModel:
    """A model of one temperature, after its share of the seconds that a conditional one has for all."""
    rng = generator(options.seed, "apart", device="cpu")
    model, seconds = make(rng), options.seconds / len(JUDGED)
    settings = Training(epochs=10**6, batch_size=100, cpu_seconds=seconds, learning_rate=CONDITIONAL_RATE)
    fit_model(model, v, ELBO(rng, warm_up=100), settings, rng=rng, augment=[LatticeMoves(target.graph)])
    return model


def judge(target: Ising, learned: dict[float, Tensor], options: argparse.Namespace) -> None:
    n, rng = target.n_sites, generator(options.seed, "cvae", device="cpu")
    rows = torch.cat([torch.cat([v, torch.full((len(v), 1), t)], 1) for t, v in learned.items()])
    fresh, again = (sets(target, options.judged, options.seed, name, JUDGED) for name in ("judge", "floor"))
    draws = {"floor": again}
    for name, model in cvaes(target.graph.shape[0], rng).items():
        if options.only not in name:
            continue
        settings = Training(epochs=10**6, batch_size=100, cpu_seconds=options.seconds, learning_rate=CONDITIONAL_RATE)
        moves = [OnVisible(LatticeMoves(target.graph), n)]
        fit_model(model, rows, Conditional(ELBO(rng, warm_up=500)), settings, rng=rng, augment=moves)
        start = time.process_time()
        draws[name] = {t: model.at(t).draw(options.judged, rng) for t in JUDGED}
        print(f"{name}: {len(JUDGED) * options.judged} draws in {time.process_time() - start:.1f} CPU s")
    for name, make in vaes(n).items():
        if options.only in name:
            draws[name] = {t: apart(make, learned[t], target, options).draw(options.judged, rng) for t in JUDGED}
    for name, own in draws.items():
        pairs = []
        for t, v in fresh.items():
            w_m, w_e = (
                wasserstein_distance(f(own[t]), f(v))
                for f in (lambda x: magnetization(x).abs().numpy(), lambda x: energy_per_site(x, target).numpy() / 2)
            )
            pairs.append((w_m, w_e))
        row = " ".join(f"{t:g}: {a:.4f} {b:.4f}" for t, (a, b) in zip(fresh, pairs, strict=True))
        means = np.mean(pairs, axis=0)
        print(f"{name:>32}: W_M W_E at T {row}; mean W_M {means[0]:.4f} W_E {means[1]:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[16])
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU seconds a model")
    parser.add_argument("--draws", type=int, default=1000, help="configurations to learn from a temperature")
    parser.add_argument("--judged", type=int, default=2000, help="configurations to judge by a temperature")
    parser.add_argument("--parts", nargs="*", default=["vae", "cvae"], choices=["vae", "cvae"])
    parser.add_argument("--only", default="", help="conditional VAEs whose name holds this")
    parser.add_argument("--figures", type=Path, default=None)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    peaks: dict[int, dict[str, Peak]] = {}
    for side in options.sizes:
        target = ferromagnet((side, side), device="cpu")
        learned = sets(target, options.draws, options.seed, "learn", TEMPERATURES)
        print(f"{side} x {side}, exact T_c of the infinite lattice {critical_temperature():.4f}")
        if "vae" in options.parts:
            peaks[side] = orders(target, learned, options)
        if "cvae" in options.parts:
            judge(target, learned, options)
    if len(peaks) > 1:
        for name in next(iter(peaks.values())):
            found = critical_from_sizes({side: each[name] for side, each in peaks.items()})
            print(f"T_c from {name}: {found.critical_temperature:.4f}({found.error:.4f}) {found.warning}")


if __name__ == "__main__":
    main()
