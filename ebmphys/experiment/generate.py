"""``generate``: equilibrium configurations of an Ising model, by Monte Carlo."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, model_validator

from ebmphys.dataset import Dataset, Writer
from ebmphys.energies import Ising, satisfying_spins
from ebmphys.experiment.collect import block_of, collect
from ebmphys.experiment.hamiltonian import Hamiltonian, ordering_temperature
from ebmphys.experiment.pilot import Plan, candidates, pilot
from ebmphys.experiment.provenance import provenance
from ebmphys.experiment.resuming import reopened
from ebmphys.experiment.sampler_names import PACKED, SAMPLERS, Name
from ebmphys.experiment.settings import Device, Flag, Temperatures, check_output, place
from ebmphys.experiment.sources import MarkovChains
from ebmphys.experiment.summary import summary
from ebmphys.rng import generator
from ebmphys.samplers import Chains, Sampler

_FEWEST_CHAINS, _SHOWING = 32, 16


class Generate(Hamiltonian):
    """Equilibrium configurations of an Ising model, by Monte Carlo, into one HDF5 file."""

    out: Path
    """The file to write."""
    model: Literal["ising"] = "ising"
    """The model."""
    temperatures: Temperatures
    """k_B T / J: numbers and start:stop:count ranges, separated by commas or spaces."""
    draws: int | None = Field(default=None, ge=1)
    """Configurations to keep of each chain (1000)."""
    independent: int | None = Field(default=None, ge=1)
    """In place of draws: independent configurations wanted at each temperature; a pilot run sees to the thinning."""
    chains: int | None = Field(default=None, ge=1)
    """Independent chains at each temperature (64; more where bit-packed chains would leave places empty)."""
    thin: int | None = Field(default=None, ge=1)
    """Steps from one draw to the next (10; by a pilot run with --independent or --sampler auto)."""
    burn_in: int | None = Field(default=None, ge=0)
    """Steps before the first draw (1000; by a pilot run with --independent or --sampler auto)."""
    sampler: Literal[Name, "auto"] = "gibbs"
    """Heat bath or Metropolis checkerboard sweeps; the same bit-packed, 512 replicas at a time (CPU); Swendsen-Wang or
    Wolff clusters (no J < 0); exact independent draws (enumerated, up to 24 sites); auto: the one of these that a pilot
    run finds to give independent draws at the least cost."""
    start: Literal["auto", "random", "ordered"] = "auto"
    """Random spins, or a ground state with a random sign (all spins alike; the sublattices of an antiferromagnet; no
    frustration); auto: ordered below a known T_c, where a random start freezes into stripes, and random elsewhere."""
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

    @model_validator(mode="after")
    def _one_count(self) -> Generate:
        if self.draws is not None and self.independent is not None:
            raise ValueError("give --draws (of each chain) or --independent (of each temperature), not both")
        return self

    def written(self) -> list[Path]:
        return [self.out]

    @property
    def piloted(self) -> bool:
        """Whether a pilot run decides what is not given."""
        return self.sampler == "auto" or (self.independent is not None and self.sampler != "enumerated")

    def what(self) -> dict[str, Any]:
        """As for any settings, with numbers for the counts that are known before a pilot run."""
        chains, draws, thin, burn_in = self.chains, self.draws, self.thin, self.burn_in
        if chains is None:
            packed = self.sampler == "auto" or self.sampler in PACKED
            chains = max(64, -(-512 // len(self.temperatures))) if packed else 64
            if self.independent is not None:  # as many draws of each chain as it takes to see that they are independent
                chains = min(chains, max(_FEWEST_CHAINS, self.independent // _SHOWING))
        if draws is None:
            draws = 1000 if self.independent is None else -(-self.independent // chains)
        if not self.piloted:
            exact = self.sampler == "enumerated" and self.independent is not None
            thin = thin or (1 if exact else 10)
            burn_in = (0 if exact else 1000) if burn_in is None else burn_in
        return super().what() | {"chains": chains, "draws": draws, "thin": thin, "burn_in": burn_in}


def generate(settings: Generate) -> dict[str, Any]:
    """Run the settings and say what came out: energies with errors, autocorrelation times, exact values.

    All temperatures advance together in one random stream, so another set of temperatures gives other numbers. Where
    a pilot run decides, its ``Plan`` is in the file's provenance, and a resumed run takes it from there.
    Raises FileExistsError, ValueError and OSError (a full disk, before the run itself begins), each with one line.
    """
    device = place("cpu" if settings.device == "auto" and settings.sampler in PACKED else settings.device)
    model, lattice, what = settings.ising(device), settings.lattice(), settings.what()
    if settings.resume and settings.out.exists():
        writer = reopened(settings.out, {"verb": "generate", **what}, device, free=("block",))
        stored = writer.header.provenance.get("plan")
        plan = Plan.read(stored) if stored else None
    else:
        check_output(settings.out, settings.force)
        writer = None
        plan = _plan(settings, model) if settings.piloted else None
    sampler: Sampler = SAMPLERS[_sampler(settings, plan)](model)
    betas = 1 / torch.tensor(settings.temperatures, dtype=torch.float64)[:, None]
    rng = generator(settings.seed, "generate", device=device)
    chains = sampler.init(len(betas), what["chains"], beta=betas, rng=rng)
    _start(chains, model, settings)
    thin, burn_in = (what[name] if what[name] is not None else getattr(plan, name) for name in ("thin", "burn_in"))
    source = MarkovChains([sampler], [chains], thin=thin, burn_in=burn_in)
    if writer is None:
        writer = Writer.create(
            settings.out,
            temperatures=settings.temperatures,
            draws=what["draws"],
            chains=what["chains"],
            n_sites=model.n_sites,
            shape=lattice.shape if lattice.n_sites == lattice.n_cells else None,
            block=settings.block or block_of(what["draws"], len(betas) * what["chains"], model.n_sites),
            settings={"verb": "generate", **what},
            model=model.config,
            provenance=provenance(device=device) | ({"plan": plan.stored()} if plan else {}),
            state=source.state(),
            force=settings.force,
        )
    with writer:
        collect(writer, source, what="generate", quiet=settings.quiet)
    return summary(Dataset(settings.out))


def _sampler(settings: Generate, plan: Plan | None) -> Name:
    if settings.sampler != "auto":
        return settings.sampler
    assert plan is not None
    return plan.sampler


def _plan(settings: Generate, model: Ising) -> Plan:
    """Of all samplers that fit, or of the one that is asked for."""
    names = candidates(model) if settings.sampler == "auto" else [settings.sampler]
    chains = settings.what()["chains"]
    return pilot(
        names, model, settings.temperatures, chains, settings.seed, lambda begun: _start(begun, model, settings)
    )


def _start(chains: Chains, model: Ising, settings: Generate) -> None:
    """Replace random starts by ordered ones where the settings say so: every spin follows the chain's first."""
    if settings.sampler == "enumerated" or settings.start == "random":
        return
    cold = torch.tensor(settings.temperatures) < ordering_temperature(model)
    ordered = cold if settings.start == "auto" else torch.ones_like(cold)
    if not bool(ordered.any()):
        return
    pattern = satisfying_spins(model)
    if pattern is None:
        raise ValueError("--start ordered needs couplings without frustration, these have no order to start in: random")
    x = chains.x
    chains.x = torch.where(ordered[:, None, None].to(x.device), x[..., :1] * pattern * pattern[0], x)
