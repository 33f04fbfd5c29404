"""Every machine on 20,000 configurations of the 8 x 8 Ising lattice at T_c, after the same CPU seconds on one thread.

python -m tests.benchmarks.machines_8x8 --seconds 60 --seeds 3

KL(p || q) = <log p - log q> over fresh draws, log p exact (Kaufman), the machine's log Z by Bennett's acceptance ratio
between those draws of p and its own chains of q; the error by bootstrap of both. u, |m| and the share with m > 0 are of
its own chains. Data and draws are independent chains of Swendsen-Wang.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel, Ising, ferromagnet
from ebmphys.exact import kaufman
from ebmphys.likelihood import bridge, log_likelihood
from ebmphys.observables import energy_per_site, magnetization
from ebmphys.rng import generator
from ebmphys.train import check_data
from tests.benchmarks.machines import Lesson, independent, machines, own_draws

SHAPE, BETA_C, DRAWS = (8, 8), 0.44068679350977147, 20_000
EXACT_ABS_MAGNETIZATION = 0.777331092787  # transfer matrix
CHAINS, BOOTSTRAPS = 10_000, 100  # of a machine's own chains, independent of each other; of their errors
UNTOUCHED = ("belief", "neural", "deep")  # their log Z or law is not had by these means, or too slowly


def judged(model: EnergyModel, target: Ising, fresh: Tensor, options: argparse.Namespace, seed: int) -> str:
    """The machine's KL with its error by bootstrap, and what its own chains say."""
    x = own_draws(model, fresh[:CHAINS], options.steps, seed)
    v, rng = x[:, : model.n_visible], generator(seed, "bootstrap", device="cpu")
    with torch.no_grad():
        over = log_likelihood(target, fresh, BETA_C) + model.free_energy(fresh).double()
        under = log_likelihood(target, v, BETA_C) + model.free_energy(v).double()

    def kl(there: Tensor, here: Tensor) -> float:
        return float(there.mean()) + bridge(-there[None], here[None]).value

    def resampled(values: Tensor) -> Tensor:
        return values[torch.randint(len(values), (len(values),), generator=rng)]

    again = [kl(resampled(over), resampled(under)) for _ in range(BOOTSTRAPS)]
    u, m = energy_per_site(v, target).double(), magnetization(v).double()
    return (
        f"KL {kl(over, under):.4f} +- {float(torch.tensor(again).std()):.4f}"
        f"  u {float(u.mean()):.4f} +- {float(u.std()) / CHAINS**0.5:.4f}"
        f"  |m| {float(m.abs().mean()):.4f} +- {float(m.abs().std()) / CHAINS**0.5:.4f}"
        f"  m > 0 {float((m > 0).double().mean()):.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU seconds a machine")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", default="", help="machines whose name holds this")
    parser.add_argument(
        "--steps", type=int, default=500, help="steps of a machine's own chains before they are looked at"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    target = ferromagnet(SHAPE, device="cpu")
    exact = kaufman(SHAPE, BETA_C).energy_per_site
    print(f"{'exact':>42}: u {exact:.4f}  |m| {EXACT_ABS_MAGNETIZATION:.4f}  m > 0 0.50")
    for seed in range(options.seeds):
        data, fresh = (independent(target, BETA_C, DRAWS, seed, name) for name in ("data", "fresh"))
        for name, machine in machines(64, 4).items():
            if options.only not in name or any(word in name for word in UNTOUCHED):
                continue
            model = machine(Lesson(target.graph, data, options.seconds, seed))
            assert isinstance(model, EnergyModel)
            check_data(model, data)
            print(f"{name:>42}: {judged(model, target, fresh, options, seed)}", flush=True)


if __name__ == "__main__":
    main()
