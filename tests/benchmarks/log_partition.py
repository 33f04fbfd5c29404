"""Where each estimate of log Z breaks: random machines of 10 x 8 spins, weights of growing spread, and the exact sum.

python -m tests.benchmarks.log_partition --repeats 20

Each cell: root mean square of the error in nats, and in standard errors as stated; the share of runs that are off by
more than 3 of these, and of those that are, the share that warned.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator

import numpy as np
import torch

from ebmphys.energies import RBM
from ebmphys.exact.enumeration import log_weights, visible_states
from ebmphys.likelihood import (
    LogPartition,
    ais,
    bracket,
    bridge_sampling,
    log_partition,
    tempered_ladder,
    thermodynamic_integration,
)
from ebmphys.rng import generator

STRENGTHS = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)
NAMES = ("AIS", "reverse AIS", "both, bridged", "integration", "bridged ladder")


def machine(std: float, seed: int) -> RBM:
    rng = generator(seed, "machine", device="cpu")
    model = RBM(10, 8, device="cpu").requires_grad_(False)
    for parameter, scale in ((model.weights, 1.0), (model.visible_bias, 0.5), (model.hidden_bias, 0.5)):
        parameter.copy_(scale * std * torch.randn(parameter.shape, generator=rng))
    return model


def estimates(model: RBM, seed: int, options: argparse.Namespace) -> Iterator[LogPartition]:
    """All five, at about the same number of sweeps of a chain."""
    rng = generator(seed, "estimate", device="cpu")
    law = torch.softmax(log_weights(model), 0)
    x = visible_states(model)[torch.multinomial(law, options.chains, replacement=True, generator=rng)]
    yield ais(model, rng=rng, steps=options.steps, chains=options.chains)
    both = bracket(model, x, rng=rng, steps=options.steps // 2)
    yield both.upper
    yield both.between
    rungs, chains = 17, 32
    sweeps = options.steps * options.chains // (rungs * chains)
    ladder = tempered_ladder(model, rng=rng, rungs=rungs, chains=chains, draws=sweeps // 2, burn_in=sweeps // 2)
    yield thermodynamic_integration(ladder)
    yield bridge_sampling(ladder)


def cell(runs: list[LogPartition], exact: np.ndarray) -> str:
    off = np.array([run.value for run in runs]) - exact
    z = off / np.array([run.error for run in runs])
    bad = abs(z) > 3
    told = np.array([bool(run.warning) for run in runs])
    warned = f"{told[bad].mean():.2f}" if bad.any() else "-"
    return f"{np.sqrt((off**2).mean()):.3f} {np.sqrt((z**2).mean()):.1f} {bad.mean():.2f} {warned}"


def main(show: Callable[[str], None] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20, help="machines a strength")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--chains", type=int, default=200)
    options = parser.parse_args()
    show(f"{'std':>5}" + "".join(f"{name:>22}" for name in NAMES))
    for std in STRENGTHS:
        models = [machine(std, seed) for seed in range(options.repeats)]
        exact = np.array([log_partition(model) for model in models])
        columns = zip(*(estimates(model, seed, options) for seed, model in enumerate(models)), strict=True)
        show(f"{std:>5}" + "".join(f"{cell(list(runs), exact):>22}" for runs in columns))


if __name__ == "__main__":
    main()
