"""KL(p || q) of an RBM fitted to 20,000 exact draws of the 4 x 4 Ising lattice at T_c, after CPU seconds on one thread.

python -m tests.benchmarks.rbm_kl --seconds 60 --seeds 3
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from ebmphys.energies import RBM, EnergyModel, ferromagnet
from ebmphys.exact.enumeration import expectation, log_weights, visible_states
from ebmphys.likelihood import kl_to_exact
from ebmphys.objectives import ContrastiveDivergence
from ebmphys.observables import energy_per_site
from ebmphys.rng import generator
from ebmphys.train import GlobalFlip, LatticeMoves, Training, fit
from ebmphys.units import build_unit

BETA_C = 0.44068679
EXACT_ENERGY = -1.565623787638  # per site, Kaufman 1949 at BETA_C


def exact_draws(target: EnergyModel, n: int, rng: torch.Generator) -> torch.Tensor:
    law = torch.softmax(log_weights(target, BETA_C), 0)
    return visible_states(target)[torch.multinomial(law, n, replacement=True, generator=rng)]


def measure(options: argparse.Namespace, seed: int, augment: bool) -> str:
    target = ferromagnet((4, 4), device="cpu")
    visible = build_unit(options.visible)
    data = exact_draws(target, 20_000, generator(seed, "data", device="cpu"))
    data = torch.where(data > 0, visible.values[1], visible.values[0])
    init = generator(seed, "init", device="cpu")
    biases = not (augment and options.visible == options.hidden == "spin")
    model = RBM(16, 16, visible, build_unit(options.hidden), biases=biases, rng=init, device="cpu")
    objective = ContrastiveDivergence(options.k, generator(seed, "chains", device="cpu"), n_chains=options.chains)
    settings = Training(
        epochs=10**6,
        cpu_seconds=options.seconds,
        batch_size=options.batch,
        learning_rate=options.rate,
        schedule=options.schedule,
        averaging=options.averaging,
    )
    moves = [GlobalFlip(model.visible), LatticeMoves(target.graph)] if augment else []
    history = fit(model, data, objective, settings, rng=generator(seed, "fit", device="cpu"), augment=moves)
    kl = kl_to_exact(target, BETA_C, model)
    energy = float(expectation(model, 1.0, lambda v: energy_per_site(torch.where(v > 0, 1.0, -1.0), target)))
    updates = history[-1]["updates"]
    name = "with symmetries" if augment else "without"
    found = f"KL {kl:.5f} nats, u off by {energy - EXACT_ENERGY:+.4f}"
    return f"seed {seed} {name:>15}: {found}, {updates} updates, {len(history)} epochs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU seconds of training, one thread")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--augment", choices=["yes", "no", "both"], default="both")
    defaults = Training()
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--chains", type=int, default=500)
    parser.add_argument("--batch", type=int, default=defaults.batch_size)
    parser.add_argument("--rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--schedule", default=defaults.schedule)
    parser.add_argument("--averaging", type=float, default=defaults.averaging)
    parser.add_argument("--visible", default="spin", choices=["spin", "bit"])
    parser.add_argument("--hidden", default="spin")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for augment in {"yes": [True], "no": [False], "both": [True, False]}[options.augment]:
        for seed in range(options.first, options.first + options.seeds):
            print(measure(options, seed, augment), flush=True)


if __name__ == "__main__":
    main()
