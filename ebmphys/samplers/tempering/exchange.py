"""Replica exchange: chains at neighbouring temperatures trade configurations, so cold ones are not caught."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.rng import uniforms
from ebmphys.samplers.base import Chains, Sampler, advance


def swap_accepted(betas: Tensor, energies: Tensor, u: Tensor, parity: int) -> Tensor:
    """Whether temperatures k and k + 1 trade, for k = parity, parity + 2, ...: u < min(1, exp(dbeta dE)).

    dbeta = beta_k - beta_(k+1) and dE = E_k - E_(k+1) with the energy of all sites, hidden ones too. In float64.
    betas, energies: (..., n_temperatures); u: (..., n_pairs) -> (..., n_pairs).
    Raises ValueError where an energy is not a number: such a pair would silently never trade.
    """
    heat, energy = betas.double(), energies.double()
    colder = heat[..., parity:-1:2] - heat[..., parity + 1 :: 2]
    log_ratio = colder * (energy[..., parity:-1:2] - energy[..., parity + 1 :: 2])
    if bool(log_ratio.isnan().any()):
        raise ValueError("an energy is not a number or infinite: check the model's parameters")
    return u < log_ratio.exp()


@dataclass(frozen=True)
class ReplicaExchange:
    """Replica exchange (Swendsen and Wang 1986; Hukushima and Nemoto 1996) around any sampler of any model.

    The last batch axis is a ladder of temperatures; all axes before it count independent ladders. One step is a
    period of the deterministic even-odd scheme (Okabe et al. 2001; Syed et al. 2022): ``steps_between`` steps of the
    sampler, trades of the pairs (0, 1), (2, 3), ..., as many steps again, trades of (1, 2), (3, 4), ... So a step
    costs 2 ``steps_between`` of the sampler's, and the chains alone are the whole state of a restart.
    Configurations move and chain k keeps beta_k. The law of every temperature is kept; sites that the sampler clamps
    must have the same values all along a ladder.

    Returns ``swap_rate`` (..., n_temperatures - 1), zeros and ones, whether each pair traded; ``energy`` (*batch,)
    at the end; ``source`` (*batch,), the place in the ladder where each configuration was before the step, from
    which ``walkers`` follows them. Probabilities are resolved to 2^-24.
    Raises ValueError for steps_between < 1, and in ``init`` for betas that do not rise or fall along the last axis.
    """

    sampler: Sampler
    steps_between: int = 1

    def __post_init__(self) -> None:
        if self.steps_between < 1:
            raise ValueError(f"steps_between must be at least 1, got {self.steps_between}")

    @property
    def model(self) -> EnergyModel:
        return self.sampler.model

    def init(self, *batch: int, beta: Tensor | float = 1.0, rng: torch.Generator) -> Chains:
        heat = torch.as_tensor(beta)
        if not batch or heat.ndim == 0 or heat.shape[-1] != batch[-1]:
            raise ValueError(
                f"the last axis of batch and beta is the ladder: got a batch of {batch} and beta of {tuple(heat.shape)}"
            )
        # The chains keep float32, in which two temperatures of a very fine ladder may be the same.
        steps = heat.float().diff(dim=-1)
        rises, falls = (steps > 0).all(-1), (steps < 0).all(-1)
        if batch[-1] < 2 or not bool((rises | falls).all()):
            raise ValueError("a ladder needs two or more inverse temperatures that rise, or fall, all along it")
        return self.sampler.init(*batch, beta=beta, rng=rng)

    @torch.no_grad()
    def step(self, chains: Chains) -> dict[str, Tensor]:
        n = chains.batch[-1]
        source = torch.arange(n, device=chains.rng.device).expand(chains.batch)
        swapped = torch.empty((*chains.batch[:-1], n - 1), device=source.device)
        for parity in (0, 1):
            advance(self.sampler, chains, self.steps_between)
            energy = chains.energy(self.model)
            u = uniforms(swapped[..., parity::2].shape, chains.rng)
            accepted = swap_accepted(chains.beta.expand(chains.batch), energy, u, parity)
            swapped[..., parity::2] = accepted.float()
            move = _trade(accepted, parity, n)
            chains.reorder(_flat(move))
            source, energy = source.gather(-1, move), energy.gather(-1, move)
        return {"swap_rate": swapped, "energy": energy, "source": source}


def _trade(accepted: Tensor, parity: int, n: int) -> Tensor:
    """Where in the ladder each configuration comes from; (..., n_pairs) -> (..., n)."""
    move = torch.arange(n, device=accepted.device).repeat(*accepted.shape[:-1], 1)
    move[..., parity:-1:2] += accepted.long()
    move[..., parity + 1 :: 2] -= accepted.long()
    return move


def _flat(move: Tensor) -> Tensor:
    """Places in each ladder as places in the flattened batch; (..., n) -> (n_chains,)."""
    ladders = move.reshape(-1, move.shape[-1])
    first = torch.arange(len(ladders), device=move.device) * move.shape[-1]
    return (ladders + first[:, None]).flatten()
