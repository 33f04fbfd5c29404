"""Diffusion models and GANs on 20,000 configurations of Ising lattices at T_c, after the same CPU seconds, one thread.

python -m tests.benchmarks.diffusion_gan --seconds 60 --sizes 4 8

Of a diffusion KL(p || q) by the evidence lower bound, by 16 noisings each as importance weights (both too high, the
second by little), and with --exact, of flips on 4 x 4, exactly; of a GAN on 4 x 4 from the histogram of 10^6 draws,
over all states (beside it what the same estimate gives for exact draws, its bias) and over levels of energy and |m|
(too low by what happens within a level). u, |m| and c of the model's draws as deviations from the exact values.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn

from ebmphys.energies import Ising, ferromagnet
from ebmphys.energies.networks import build_network
from ebmphys.exact import kaufman
from ebmphys.exact.enumeration import kl_divergence, log_weights, visible_states
from ebmphys.generators import GAN, AbsorbingDiffusion, BitFlipDiffusion, Diffusion, IndependentModel
from ebmphys.likelihood import log_likelihood, reverse_chain_law, trajectory_bound
from ebmphys.objectives import Adversarial, DenoisingBound, Objective
from ebmphys.observables import energy_per_site, magnetization, summarize
from ebmphys.rng import generator
from ebmphys.stats import independent_mean
from ebmphys.train import GlobalFlip, LatticeMoves, Training, fit
from tests.benchmarks.machines import independent

BETA_C, DATA = 0.44068679350977147, 20_000
ABS_MAGNETIZATION = {4: 0.843860, 8: 0.777331}  # enumeration, transfer matrix
STEPS = 128
NOISINGS, JUDGED, HISTOGRAM = 16, 2000, 10**6
CPU = torch.device("cpu")


def learners(side: int) -> dict[str, Callable[[], tuple[nn.Module, Objective, float]]]:
    """By the name in the table: a model, its objective, and a learning rate."""
    n, width = side * side, 256 if side == 4 else 512
    wide = {"kind": "mlp", "hidden": [width, width]}
    narrow = {"kind": "mlp", "hidden": [128, 128]}
    waves = {"kind": "convolutional", "shape": [side, side], "channels": [24, 24, 24], "kernel": 3}

    def rng(*path: str) -> torch.Generator:
        return generator(side, *path, device="cpu")

    def absorbing(symmetric: bool) -> tuple[nn.Module, Objective, float]:
        model = AbsorbingDiffusion(n, None, wide, symmetric=symmetric, rng=rng("weights"), device="cpu")
        return model, DenoisingBound(rng("noise"), 4), 3e-3

    def flips(symmetric: bool) -> tuple[nn.Module, Objective, float]:
        model = BitFlipDiffusion(n, STEPS, wide, symmetric=symmetric, rng=rng("weights"), device="cpu")
        return model, DenoisingBound(rng("noise"), 2), 3e-3

    def gan(network: dict[str, object], fields: int) -> tuple[nn.Module, Objective, float]:
        model = GAN(n, network, fields, symmetric=True, rng=rng("weights"), device="cpu")
        critic = build_network(narrow, n, rng("critic"), CPU)
        return model, Adversarial(critic, rng("critic draws")), 1e-3

    return {
        "absorbing diffusion": lambda: absorbing(False),
        "absorbing diffusion, odd": lambda: absorbing(True),
        "bit-flip diffusion": lambda: flips(False),
        "bit-flip diffusion, odd": lambda: flips(True),
        "GAN": lambda: gan(narrow, 1),
        "GAN, convolutional": lambda: gan(waves, 4),
    }


def plus_minus(numbers: Tensor) -> str:
    found = independent_mean(numbers.double().numpy())
    return f"{found.value:.4f} +- {found.error:.4f}"


def observables(x: Tensor, target: Ising, side: int) -> str:
    exact = kaufman((side, side), BETA_C)
    energy, m = energy_per_site(x, target).double(), magnetization(x).double()
    found = summarize(energy.reshape(100, -1), m.reshape(100, -1), BETA_C, side**2)
    known = {
        "energy_per_site": ("u", exact.energy_per_site),
        "abs_magnetization": ("|m|", ABS_MAGNETIZATION[side]),
        "specific_heat": ("c", exact.specific_heat),
    }
    parts = [
        f"{name} {found[key].value - value:+.4f} +- {found[key].error:.4f}" for key, (name, value) in known.items()
    ]
    return "  ".join([*parts, f"m > 0 {float((m > 0).double().mean() + 0.5 * (m == 0).double().mean()):.3f}"])


def divergences(model: Diffusion, target: Ising, fresh: Tensor, exactly: bool) -> str:
    log_p = log_likelihood(target, fresh, BETA_C)
    bound = log_p - model.bound(fresh, generator(1, "bound", device="cpu"), NOISINGS).double()
    some, log_q = log_p[:JUDGED], trajectory_bound(model, fresh[:JUDGED], NOISINGS, generator(2, "paths", device="cpu"))
    # <q/p> = 1 under p: adding q/p - 1 takes away most of the scatter of log(p/q) and changes no mean.
    close = some - log_q + (log_q - some).expm1()
    exact = ""
    if exactly and isinstance(model, BitFlipDiffusion) and model.n_visible == 16:
        exact = f"  exact {kl_divergence(log_weights(target, BETA_C), reverse_chain_law(model)):.4f}"
    return f"KL: bound {plus_minus(bound)}, weighted {plus_minus(close)}{exact}"


def histograms(model: IndependentModel, target: Ising) -> str:
    """KL(p || q) over all states and over levels of energy and |m|, of a model's draws and of as many exact ones."""
    log_p, every = torch.log_softmax(log_weights(target, BETA_C), 0), visible_states(target)
    levels = torch.stack([target.energy(every), every.sum(-1).abs()], -1).unique(dim=0, return_inverse=True)[1]
    rng = generator(3, "histogram", device="cpu")
    own = torch.cat([_places(model.draw(HISTOGRAM // 10, rng)) for _ in range(10)])
    exact = torch.cat([torch.multinomial(log_p.exp(), HISTOGRAM // 10, True, generator=rng) for _ in range(10)])
    cells = []
    for name, cell in (("states", torch.arange(len(every))), ("levels", levels)):
        p = torch.zeros(int(cell.max()) + 1, dtype=torch.float64).index_add_(0, cell, log_p.exp())
        found = [kl_divergence(p.log(), (torch.bincount(cell[x], minlength=len(p)) + 0.5).log()) for x in (own, exact)]
        cells.append(f"{name} {found[0]:.4f} (exact draws: {found[1]:.4f})")
    return "KL by histogram: " + ", ".join(cells)


def _places(x: Tensor) -> Tensor:
    return ((x > 0).long() * 2 ** torch.arange(x.shape[-1] - 1, -1, -1)).sum(-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU seconds a model")
    parser.add_argument("--sizes", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--draws", type=int, default=20_000, help="of each model, for its observables; hundreds")
    parser.add_argument("--exact", action="store_true", help="the exact KL of flips on 4 x 4: two CPU minutes")
    parser.add_argument("--only", default="", help="models whose name holds this")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for side in options.sizes:
        target = ferromagnet((side, side), device="cpu")
        data, fresh = (independent(target, BETA_C, DATA, side, name) for name in ("data", "fresh"))
        print(f"{side} x {side}, {options.seconds:g} CPU s; the data: {observables(data, target, side)}", flush=True)
        for name, learner in learners(side).items():
            if options.only not in name:
                continue
            model, objective, rate = learner()
            assert isinstance(model, IndependentModel)
            settings = Training(epochs=10**6, cpu_seconds=options.seconds, learning_rate=rate)
            moves = [GlobalFlip(model.visible_unit), LatticeMoves(target.graph)]
            history = fit(model, data, objective, settings, rng=generator(side, "fit", device="cpu"), augment=moves)
            start = time.process_time()
            x = model.draw(options.draws, generator(side, "draw", device="cpu"))
            rate = options.draws / (time.process_time() - start)
            seen = observables(x, target, side)
            print(f"{name:>26}: {history[-1]['updates']} updates  {seen}  {rate:.0f} draws/s", flush=True)
            if isinstance(model, Diffusion):
                print(f"{'':>28}{divergences(model, target, fresh, options.exact)}", flush=True)
            elif side == 4:
                print(f"{'':>28}{histograms(model, target)}", flush=True)


if __name__ == "__main__":
    main()
