"""``generate``: equilibrium configurations of an Ising model, by Monte Carlo."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from ebmphys.dataset import Dataset, Writer
from ebmphys.energies import Ising
from ebmphys.experiment.collect import block_of, collect
from ebmphys.experiment.hamiltonian import Hamiltonian, ordering_temperature
from ebmphys.experiment.provenance import provenance, same_device
from ebmphys.experiment.settings import Device, Flag, Temperatures, check_output, place
from ebmphys.experiment.sources import MarkovChains
from ebmphys.experiment.summary import summary
from ebmphys.rng import generator
from ebmphys.samplers import BlockGibbs, Chains, Enumerated, Metropolis, Sampler

SAMPLERS: dict[str, type[Metropolis] | type[BlockGibbs] | type[Enumerated]] = {
    "metropolis": Metropolis,
    "gibbs": BlockGibbs,
    "enumerated": Enumerated,
}


class Generate(Hamiltonian):
    """Equilibrium configurations of an Ising model, by Monte Carlo, into one HDF5 file."""

    out: Path
    """The file to write."""
    model: Literal["ising"] = "ising"
    """The model."""
    temperatures: Temperatures
    """k_B T / J: numbers and start:stop:count ranges, separated by commas or spaces."""
    draws: int = Field(default=1000, ge=1)
    """Configurations to keep of each chain."""
    chains: int = Field(default=64, ge=1)
    """Independent chains at each temperature."""
    thin: int = Field(default=10, ge=1)
    """Sweeps from one draw to the next."""
    burn_in: int = Field(default=1000, ge=0)
    """Sweeps before the first draw."""
    sampler: Literal["gibbs", "metropolis", "enumerated"] = "gibbs"
    """Heat bath or Metropolis checkerboard sweeps, or exact independent draws (up to 24 sites)."""
    start: Literal["auto", "random", "ordered"] = "auto"
    """Random spins, or all spins of a chain alike with a random sign; auto: ordered below a known T_c, where a
    random start freezes into stripes, and random elsewhere."""
    block: int | None = Field(default=None, ge=1)
    """Draws to commit to disk at a time; a kill loses at most this much."""
    device: Device = "auto"
    """Where to compute: auto is cuda where it is there."""
    force: Flag = False
    """Replace the file if it exists."""
    resume: Flag = False
    """Continue a file that an interrupted run left, as if nothing had happened."""
    quiet: Flag = False
    """No progress bar."""


def generate(settings: Generate) -> dict[str, Any]:
    """Run the settings and say what came out: energies with errors, autocorrelation times, exact values.

    All temperatures advance together in one random stream, so another set of temperatures gives other numbers.
    Raises FileExistsError, ValueError and OSError (a full disk, before anything is sampled), each with one line.
    """
    device = place(settings.device)
    model, lattice = settings.ising(device), settings.lattice()
    if settings.resume and settings.out.exists():
        writer = _resumed(settings, device)
    else:
        check_output(settings.out, settings.force)
        writer = None
    sampler: Sampler = SAMPLERS[settings.sampler](model)
    betas = 1 / torch.tensor(settings.temperatures, dtype=torch.float64)[:, None]
    rng = generator(settings.seed, "generate", device=device)
    chains = sampler.init(len(betas), settings.chains, beta=betas, rng=rng)
    _start(chains, model, settings)
    source = MarkovChains([sampler], [chains], thin=settings.thin, burn_in=settings.burn_in)
    if writer is None:
        writer = Writer.create(
            settings.out,
            temperatures=settings.temperatures,
            draws=settings.draws,
            chains=settings.chains,
            n_sites=model.n_sites,
            shape=lattice.shape if lattice.n_sites == lattice.n_cells else None,
            block=settings.block or block_of(settings.draws, len(betas) * settings.chains, model.n_sites),
            settings={"verb": "generate", **settings.what()},
            model=model.config,
            provenance=provenance(device=device),
            state=source.state(),
            force=settings.force,
        )
    with writer:
        collect(writer, source, model.energy, what="generate", quiet=settings.quiet)
    return summary(Dataset(settings.out))


def _resumed(settings: Generate, device: torch.device) -> Writer:
    writer = Writer.resume(settings.out)
    if not same_device(writer.header.provenance, device):
        writer.close()
        raise ValueError(f"{settings.out} cannot be resumed on {device.type}: it was begun on another device")
    theirs, mine = dict(writer.header.settings), settings.what()
    theirs.pop("verb", None)
    theirs["block"] = mine["block"]
    for name in mine.keys() | theirs.keys():
        if mine.get(name) != theirs.get(name):
            writer.close()
            raise ValueError(
                f"{settings.out} cannot be resumed: {name} was {theirs.get(name)!r} there and is {mine.get(name)!r} now"
            )
    return writer


def _start(chains: Chains, model: Ising, settings: Generate) -> None:
    """Replace random starts by ordered ones where the settings say so: every spin follows the chain's first."""
    if settings.sampler == "enumerated" or settings.start == "random":
        return
    cold = torch.tensor(settings.temperatures) < ordering_temperature(model)
    ordered = cold if settings.start == "auto" else torch.ones_like(cold)
    chains.x = torch.where(ordered[:, None, None].to(chains.x.device), chains.x[..., :1], chains.x)
