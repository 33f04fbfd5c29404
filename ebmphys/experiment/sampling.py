"""``sample``: configurations drawn from fitted models, into the same kind of file as ``generate``'s."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from ebmphys.checkpoint import Checkpoint, build
from ebmphys.dataset import Dataset, Writer
from ebmphys.energies import EnergyModel
from ebmphys.experiment.collect import block_of, collect
from ebmphys.experiment.correcting import corrected_chains, importance
from ebmphys.experiment.fitted import Fitted, read_models
from ebmphys.experiment.provenance import provenance
from ebmphys.experiment.resuming import reopened
from ebmphys.experiment.sampler_names import suited_sampler
from ebmphys.experiment.settings import Device, Files, Flag, Settings, Temperatures, check_apart, check_output, place
from ebmphys.experiment.sources import IndependentDraws, MarkovChains, Source
from ebmphys.experiment.summary import summary
from ebmphys.generators import DeepBeliefNet, IndependentModel, LatentVariableModel
from ebmphys.objectives import kept_draws
from ebmphys.samplers import Chains, Sampler


class Sample(Settings):
    """Configurations drawn from fitted models into one HDF5 file, each at the temperature it has learned."""

    model: Files
    """Model files, one a temperature; or a cvae, which is told them."""
    out: Path
    """The file to write."""
    temperatures: Temperatures | None = None
    """Temperatures to draw at, those of a training or not (cvae; default: those of its training)."""
    draws: int = Field(default=1000, ge=1)
    """Configurations to keep of each chain."""
    chains: int = Field(default=64, ge=1)
    """Independent chains for each model."""
    thin: int | None = Field(default=None, ge=1)
    """Steps from one draw to the next, for models that need chains (10): Gibbs sweeps, or flips by gradient; proposals
    with --correct (1)."""
    burn_in: int | None = Field(default=None, ge=0)
    """Steps before the first draw (1000; 100 with --correct); of a belief net, those of its top."""
    threshold: Flag = False
    """Take the likelier value of each site instead of drawing it (vae, cvae): this lowers the energy; not a sample."""
    correct: Flag = False
    """Draw from the Hamiltonian's own law, exactly: draws of the model are the proposals of a Metropolis chain. Says
    how many are accepted, and log Z and averages by the weights of 10,000 draws (mixture, made, pixelcnn,
    frontier)."""
    seed: int = Field(default=1, ge=0)
    """Makes a run reproducible bit for bit on one device."""
    device: Device = "auto"
    """Where to compute: auto is cuda where it is there."""
    force: Flag = False
    """Replace the output if it exists."""
    resume: Flag = False
    """Continue a file that an interrupted run left, as if nothing had happened."""
    quiet: Flag = False
    """No progress bar."""

    def inputs(self) -> list[Path]:
        return [*self.model]

    def written(self) -> list[Path]:
        return [self.out]

    @property
    def steps(self) -> dict[str, int]:
        """thin and burn_in, as they were given or by default."""
        thin, burn_in = (1, 100) if self.correct else (10, 1000)
        return {
            "thin": thin if self.thin is None else self.thin,
            "burn_in": burn_in if self.burn_in is None else self.burn_in,
        }


def sample(settings: Sample) -> dict[str, Any]:
    """Draw from each model; the summary of what came out.

    Raises FileNotFoundError, FileExistsError and ValueError for models that do not belong in one file or settings that
    they have no use for, before a file is made.
    """
    check_apart(settings)
    device = place(settings.device)
    models = read_models(settings.model, settings.temperatures, device)
    paths = list(dict.fromkeys(fitted.path for fitted in models))
    first = models[0].checkpoint.provenance
    hamiltonian = build(first["hamiltonian"]).to(device) if first.get("hamiltonian") else None
    if not isinstance(hamiltonian, EnergyModel):
        raise ValueError(f"{paths[0]} does not say which Hamiltonian its data had: fit it with ebmphys fit")
    source = _source(settings, models, hamiltonian, device)
    what = {"verb": "sample", **settings.what()}
    if settings.resume and settings.out.exists():
        writer = reopened(settings.out, what, device, paths)
    else:
        check_output(settings.out, settings.force)
        visible = models[0].model
        writer = Writer.create(
            settings.out,
            temperatures=[fitted.temperature for fitted in models],
            draws=settings.draws,
            chains=settings.chains,
            n_sites=visible.n_visible,
            unit="spin" if visible.visible_unit.values else "gaussian",
            shape=first.get("shape"),
            block=block_of(settings.draws, len(models) * settings.chains, visible.n_visible),
            settings=what,
            model=first["hamiltonian"],
            provenance=provenance(paths, device) | _said_of(settings, models, source, hamiltonian),
            state=source.state(),
            force=settings.force,
        )
    with writer:
        collect(writer, source, hamiltonian.energy, what="sample", quiet=settings.quiet)
    return summary(Dataset(settings.out))


def _said_of(settings: Sample, models: list[Fitted], source: Source, hamiltonian: EnergyModel) -> dict[str, Any]:
    """What the file says of its models and of how it was drawn from them."""
    return {
        "models": [] if settings.correct else [str(fitted.path) for fitted in models],
        "independent": isinstance(source, IndependentDraws),
        "steps": settings.steps,
        "unfinished": [fitted.temperature for fitted in models if fitted.unfinished],
        "unseen": [fitted.temperature for fitted in models if not fitted.seen],
        "doubts": [[fitted.temperature, fitted.doubt] for fitted in models if fitted.doubt],
        "importance": importance(models, hamiltonian, settings.seed) if settings.correct else [],
    }


def _source(settings: Sample, models: list[Fitted], hamiltonian: EnergyModel, device: torch.device) -> Source:
    if settings.correct and settings.threshold:
        raise ValueError("--correct needs draws of the model, which --threshold does not give: leave one out")
    if settings.correct:
        return corrected_chains(models, hamiltonian, settings.chains, **settings.steps, seed=settings.seed)
    rngs = [fitted.rng(settings.seed, device=device) for fitted in models]
    energies = [fitted.model for fitted in models if isinstance(fitted.model, EnergyModel)]
    if len(energies) == len(models):
        if settings.threshold:
            raise ValueError("--threshold is for a vae or cvae: a Boltzmann machine's configurations are drawn")
        samplers = [suited_sampler(model) for model in energies]
        batches = [
            _started(sampler, fitted.checkpoint, settings, rng)
            for sampler, fitted, rng in zip(samplers, models, rngs, strict=True)
        ]
        return MarkovChains(samplers, batches, **settings.steps)
    if energies:
        raise ValueError("models that need chains and models that do not cannot share a file: sample them apart")
    independent = [fitted.model for fitted in models if isinstance(fitted.model, IndependentModel)]
    _check_independent(settings, independent)
    if settings.threshold:
        return IndependentDraws(independent, settings.chains, rngs, _thresholded)
    top_steps = max(1, settings.steps["burn_in"])
    return IndependentDraws(independent, settings.chains, rngs, partial(_drawn, top_steps=top_steps))


def _drawn(model: IndependentModel, n: int, rng: torch.Generator, top_steps: int) -> Tensor:
    return model.draw(n, rng, top_steps) if isinstance(model, DeepBeliefNet) else model.draw(n, rng)


def _check_independent(settings: Sample, models: Sequence[IndependentModel]) -> None:
    """Refuse what would be ignored, or come to light only at the first draw."""
    if settings.threshold and not all(isinstance(model, LatentVariableModel) for model in models):
        raise ValueError("--threshold is for a vae or cvae")
    if settings.thin is not None:
        raise ValueError("--thin is for models that need chains, or --correct: draws of this one are independent")
    if settings.burn_in is not None and not any(isinstance(model, DeepBeliefNet) for model in models):
        raise ValueError(
            "--burn-in is for models that need chains, a belief net, or --correct: draws of this one are independent"
        )


def _thresholded(model: IndependentModel, n: int, rng: torch.Generator) -> Tensor:
    assert isinstance(model, LatentVariableModel)
    return model.draw(n, rng, threshold=True)


def _started(sampler: Sampler, checkpoint: Checkpoint, settings: Sample, rng: torch.Generator) -> Chains:
    """Chains that go on from the training's persistent ones, where it kept any: those are near equilibrium."""
    chains = settings.chains
    begun = sampler.init(chains, rng=rng)
    kept = kept_draws(checkpoint.objective)
    if kept is not None and kept.shape[-1] == begun.x.shape[-1]:
        if chains > len(kept) and settings.steps["burn_in"] == 0:
            raise ValueError(f"--chains {chains} start from {len(kept)} kept ones, some alike: give them a --burn-in")
        begun.x = kept[torch.arange(chains, device=kept.device) % len(kept)].to(begun.x)
    return begun
