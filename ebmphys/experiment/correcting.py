"""Exact corrections of what a model has learned: its draws as proposals for, and weighed by, the true law."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ebmphys.energies import EnergyModel
from ebmphys.experiment.fitted import Fitted
from ebmphys.experiment.sources import MarkovChains
from ebmphys.generators import TractableModel
from ebmphys.likelihood import neural_importance_sampling
from ebmphys.likelihood.neural import Real
from ebmphys.samplers import NeuralMetropolis

_WEIGHED = 10_000  # draws behind log Z and the share


def corrected_chains(
    models: Sequence[Fitted], hamiltonian: EnergyModel, chains: int, thin: int, burn_in: int, seed: int
) -> MarkovChains:
    """Chains of the Hamiltonian's own law whose proposals are draws of the models (neural Metropolis).

    Raises ValueError for models without an exact log q.
    """
    samplers = [NeuralMetropolis(hamiltonian, _tractable(fitted)) for fitted in models]
    device = next(hamiltonian.buffers()).device
    batches = [
        sampler.init(chains, beta=1 / fitted.temperature, rng=fitted.rng(seed, "corrected", device=device))
        for sampler, fitted in zip(samplers, models, strict=True)
    ]
    return MarkovChains(samplers, batches, thin=thin, burn_in=burn_in)


def importance(models: Sequence[Fitted], hamiltonian: EnergyModel, seed: int) -> list[dict[str, Any]]:
    """log Z of the Hamiltonian and its averages from weighed draws of each model, as JSON values.

    ``effective_share`` of the draws, ``acceptance`` of them as proposals of neural Metropolis in equilibrium.
    """
    rows = []
    for fitted in models:
        model = _tractable(fitted)
        rng = fitted.rng(seed, "weighed", device=model.device)
        found = neural_importance_sampling(model, hamiltonian, 1 / fitted.temperature, _WEIGHED, rng)
        averages = {name: {"value": a.value, "error": a.error} for name, a in found.summary().items()}
        log_z = {"value": found.log_partition.value, "error": found.log_partition.error}
        rows.append(
            {
                "temperature": fitted.temperature,
                "draws": _WEIGHED,
                "log_partition": log_z,
                "effective_share": found.share,
                "acceptance": acceptance(found.log_weights),
                "averages": averages,
                "warning": found.warning,
            }
        )
    return rows


def acceptance(log_weights: Real) -> float:
    """The mean of min(1, w'/w) over w of the target and w' of the proposal, from weights of proposals; (n,) -> number.

    Averages over the target are averages with weight w, so this is sum_ij min(w_i, w_j) / (n sum_i w_i).
    """
    w = np.sort(np.exp(log_weights - log_weights.max()))
    # In ascending order w_i is the smaller one of 2 (n - 1 - i) ordered pairs, and of the one with itself.
    return float((w * (2 * np.arange(len(w))[::-1] + 1)).sum() / (len(w) * w.sum()))


def _tractable(fitted: Fitted) -> TractableModel:
    if not isinstance(fitted.model, TractableModel):
        raise ValueError(
            f"--correct is for models with an exact log q (mixture, made, pixelcnn, frontier): {fitted.path} has none"
        )
    return fitted.model
