"""Exact KL(p || q) and energies of variational autoencoders on the critical 4 x 4 Ising lattice, after the same time.

python -m tests.benchmarks.vae_kl --seconds 60

A factorised decoder draws energies that are too high, and thresholded ones that are too low (Yevick 2021); both draw
nearer with more latents. What the same time buys with another bound, with the symmetry q(-v) = q(v), or with a decoder
whose sites see each other stands below it, and then what conditional ones make of the same number of draws shared out
over nine temperatures: at T_c, and at two that they never saw.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import nn

from ebmphys.energies import Ising, ferromagnet
from ebmphys.exact.enumeration import kl_divergence, log_weights, visible_states
from ebmphys.generators import VAE, AutoregressiveVAE, ConditionalVAE, Convolutions, LatentVariableModel, Temperature
from ebmphys.likelihood import enumerated_log_law
from ebmphys.objectives import ELBO, Conditional, ImportanceWeighted, Objective
from ebmphys.rng import generator
from ebmphys.train import Augmentation, GlobalFlip, LatticeMoves, OnVisible, Training, fit

BETA = math.log(1 + math.sqrt(2)) / 2
DRAWS = 20_000
LEARNED = (1.6, 1.8, 2.0, 2.15, 2.269185314, 2.4, 2.6, 2.8, 3.0)
UNSEEN = (1.9, 2.5)

MakeModel = Callable[..., LatentVariableModel]
MakeObjective = Callable[[torch.Generator], Objective]


def entrants() -> dict[str, tuple[MakeModel, MakeObjective, float]]:
    """By the name in the table: the model, its objective, and the learning rate."""
    found: dict[str, tuple[MakeModel, MakeObjective, float]] = {}
    for latent in (2, 8, 16):
        found[f"VAE, {latent} latents"] = partial(VAE, latent=latent), ELBO, 5e-3
    iwae = partial(ImportanceWeighted, draws=10)
    found["VAE, 2 latents, IWAE-10"] = partial(VAE, latent=2), iwae, 5e-3
    found["VAE, 8 latents, IWAE-10"] = partial(VAE, latent=8), iwae, 5e-3
    found["VAE, 2 latents, symmetric"] = partial(VAE, latent=2, symmetric=True), ELBO, 5e-3
    found["VAE, 8 latents, symmetric"] = partial(VAE, latent=8, symmetric=True), ELBO, 5e-3
    found["VAE, 8 latents, symmetric, IWAE-10"] = partial(VAE, latent=8, symmetric=True), iwae, 5e-3
    found["VAE, 8 latents, full covariance"] = partial(VAE, latent=8, full_covariance=True), ELBO, 5e-3
    waves = partial(VAE, hidden=(64,), latent=8, convolutions=Convolutions((4, 4), (16, 32)))
    found["VAE, 8 latents, convolutional"] = waves, ELBO, 5e-3
    found["autoregressive decoder, 2 latents"] = AutoregressiveVAE, ELBO, 3e-3
    found["autoregressive decoder, symmetric"] = partial(AutoregressiveVAE, symmetric=True), ELBO, 3e-3
    return found


def conditional_entrants() -> dict[str, tuple[Callable[..., ConditionalVAE], float]]:
    """By the name in the table: the model, and the learning rate."""
    make = partial(ConditionalVAE, conditions=[Temperature(min(LEARNED), max(LEARNED))], symmetric=True)
    return {
        "CVAE, 2 latents": (partial(make, latent=2), 5e-3),
        "CVAE, 8 latents": (partial(make, latent=8), 5e-3),
        "CVAE, autoregressive decoder": (partial(make, latent=2, decoder_hidden=(64,)), 3e-3),
    }


def exact_draws(target: Ising, beta: float, n: int, *path: str | int) -> torch.Tensor:
    law = log_weights(target, beta).softmax(0)
    rng = generator(*path, device="cpu")
    return visible_states(target)[torch.multinomial(law, n, replacement=True, generator=rng)]


def judged(target: Ising, beta: float, model: LatentVariableModel, seed: int) -> str:
    """KL(p || q), and the excess of u drawn and thresholded."""
    states = visible_states(target)
    energy, log_p = target.energy(states).double() / target.n_sites, log_weights(target, beta)
    log_q = enumerated_log_law(model)
    exact = float(log_p.softmax(0) @ energy)
    likeliest = model.draw(DRAWS, generator(seed, "draws", device="cpu"), threshold=True)
    thresholded = float(target.energy(likeliest).double().mean()) / target.n_sites
    drawn = float(log_q.softmax(0) @ energy)
    return f"{kl_divergence(log_p, log_q):>10.4f} {drawn - exact:>+8.3f} {thresholded - exact:>+13.3f}"


def trained(
    model: nn.Module,
    data: torch.Tensor,
    objective: Objective,
    rate: float,
    options: argparse.Namespace,
    augment: list[Augmentation],
) -> int:
    """Updates in so many CPU seconds."""
    settings = Training(epochs=10**6, cpu_seconds=options.seconds, learning_rate=rate)
    rng = generator(options.seed, "fit", device="cpu")
    return int(fit(model, data, objective, settings, rng=rng, augment=augment)[-1]["updates"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU seconds a model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="models whose name holds this")
    options = parser.parse_args()
    torch.set_num_threads(1)
    target = ferromagnet((4, 4), device="cpu")
    moves = LatticeMoves(target.graph)
    print(f"4 x 4 at T_c, {DRAWS} draws, {options.seconds:g} CPU s, one seed; u is measured from the exact one")
    print(f"{'':>44} {'KL(p || q)':>10} {'u drawn':>8} {'u thresholded':>13} {'updates':>8}")
    data = exact_draws(target, BETA, DRAWS, options.seed, "data")
    for name, (make, objective_of, rate) in entrants().items():
        if options.only in name:
            model = make(16, rng=generator(options.seed, "weights", device="cpu"), device="cpu")
            objective = objective_of(generator(options.seed, "noise", device="cpu"))
            updates = trained(model, data, objective, rate, options, [GlobalFlip(model.unit), moves])
            print(f"{name:>44} {judged(target, BETA, model, options.seed)} {updates:>8}", flush=True)
    each = {t: exact_draws(target, 1 / t, DRAWS // len(LEARNED), options.seed, "data", f"{t:g}") for t in LEARNED}
    rows = torch.cat([torch.cat([v, torch.full((len(v), 1), t)], 1) for t, v in each.items()])
    for name, (make_told, rate) in conditional_entrants().items():
        if options.only in name:
            told = make_told(16, rng=generator(options.seed, "weights", device="cpu"), device="cpu")
            bound = Conditional(ELBO(generator(options.seed, "noise", device="cpu")))
            updates = trained(told, rows, bound, rate, options, [OnVisible(moves, 16)])
            for t in (1 / BETA, *UNSEEN):
                place = f"{name}, T = {t:.4g}"
                print(f"{place:>44} {judged(target, 1 / t, told.at(t), options.seed)} {updates:>8}", flush=True)


if __name__ == "__main__":
    main()
