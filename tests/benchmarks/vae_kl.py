"""Exact KL(p || q) and energies of variational autoencoders on the critical 4 x 4 Ising lattice, after the same time.

python -m tests.benchmarks.vae_kl --seconds 60

A factorised decoder draws energies that are too high, and thresholded ones that are too low (Yevick 2021); both draw
nearer with more latents. What the same time buys with another bound, with the symmetry q(-v) = q(v), or with a decoder
whose sites see each other stands below it.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from ebmphys.energies import Ising, ferromagnet
from ebmphys.exact.enumeration import kl_divergence, log_weights, visible_states
from ebmphys.generators import VAE, AutoregressiveVAE, Convolutions, LatentVariableModel
from ebmphys.likelihood import enumerated_log_law
from ebmphys.objectives import ELBO, ImportanceWeighted, Objective
from ebmphys.rng import generator
from ebmphys.train import GlobalFlip, LatticeMoves, Training, fit

BETA = math.log(1 + math.sqrt(2)) / 2
DRAWS = 20_000

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


def row(
    target: Ising,
    data: torch.Tensor,
    model: LatentVariableModel,
    objective: Objective,
    rate: float,
    seconds: float,
    seed: int,
) -> tuple[float, float, float, int]:
    """KL(p || q), the excess of u drawn and thresholded, and the updates, after so many CPU seconds."""
    settings = Training(epochs=10**6, cpu_seconds=seconds, learning_rate=rate)
    augment = [GlobalFlip(model.unit), LatticeMoves(target.graph)]
    rng = generator(seed, "fit", device="cpu")
    updates = fit(model, data, objective, settings, rng=rng, augment=augment)[-1]["updates"]
    states = visible_states(target)
    energy, log_p = target.energy(states).double() / target.n_sites, log_weights(target, BETA)
    log_q = enumerated_log_law(model)
    exact = float(log_p.softmax(0) @ energy)
    likeliest = model.draw(20_000, generator(seed, "draws", device="cpu"), threshold=True)
    thresholded = float(target.energy(likeliest).double().mean()) / target.n_sites
    return kl_divergence(log_p, log_q), float(log_q.softmax(0) @ energy) - exact, thresholded - exact, int(updates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU seconds a model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="models whose name holds this")
    options = parser.parse_args()
    torch.set_num_threads(1)
    target = ferromagnet((4, 4), device="cpu")
    law = log_weights(target, BETA).softmax(0)
    rng = generator(options.seed, "data", device="cpu")
    data = visible_states(target)[torch.multinomial(law, DRAWS, replacement=True, generator=rng)]
    print(f"4 x 4 at T_c, {DRAWS} draws, {options.seconds:g} CPU s, one seed; u is measured from the exact one")
    print(f"{'':>38} {'KL(p || q)':>10} {'u drawn':>8} {'u thresholded':>13} {'updates':>8}")
    for name, (make, objective_of, rate) in entrants().items():
        if options.only not in name:
            continue
        model = make(16, rng=generator(options.seed, "weights", device="cpu"), device="cpu")
        objective = objective_of(generator(options.seed, "noise", device="cpu"))
        kl, drawn, likeliest, updates = row(target, data, model, objective, rate, options.seconds, options.seed)
        print(f"{name:>38} {kl:>10.4f} {drawn:>+8.3f} {likeliest:>+13.3f} {updates:>8}", flush=True)


if __name__ == "__main__":
    main()
