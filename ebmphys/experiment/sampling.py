"""``sample``: configurations drawn from fitted models, into the same kind of file as ``generate``'s."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from ebmphys.checkpoint import Checkpoint, Model, build, load, restored
from ebmphys.dataset import Dataset, Writer
from ebmphys.energies import EnergyModel
from ebmphys.experiment.collect import block_of, collect
from ebmphys.experiment.provenance import hashes, provenance, same_device
from ebmphys.experiment.sampler_names import suited_sampler
from ebmphys.experiment.settings import Device, Files, Flag, Settings, check_output, place
from ebmphys.experiment.sources import IndependentDraws, MarkovChains, Source
from ebmphys.experiment.summary import summary
from ebmphys.generators import VAE, DeepBeliefNet, IndependentModel
from ebmphys.objectives import kept_draws
from ebmphys.rng import generator
from ebmphys.samplers import Chains, Sampler


class Sample(Settings):
    """Configurations drawn from fitted models into one HDF5 file, each at the temperature it has learned."""

    model: Files
    """Model files, one a temperature."""
    out: Path
    """The file to write."""
    draws: int = Field(default=1000, ge=1)
    """Configurations to keep of each chain."""
    chains: int = Field(default=64, ge=1)
    """Independent chains for each model."""
    thin: int = Field(default=10, ge=1)
    """Steps from one draw to the next, for models that need chains: Gibbs sweeps, or flips by gradient."""
    burn_in: int = Field(default=1000, ge=0)
    """Steps before the first draw; of a belief net, those of its top."""
    threshold: Flag = False
    """Take the likelier value of each site instead of drawing it (VAE): this lowers the energy; not a sample."""
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


def sample(settings: Sample) -> dict[str, Any]:
    """Draw from each model; the summary of what came out.

    Raises FileNotFoundError, FileExistsError and ValueError for models that do not belong in one file.
    """
    device = place(settings.device)
    stored = [load(path, device) for path in settings.model]
    paths = sorted(settings.model, key=lambda path: _temperature(stored[settings.model.index(path)]))
    stored.sort(key=_temperature)
    first = stored[0].provenance
    for path, checkpoint in zip(paths, stored, strict=True):
        if any(checkpoint.provenance.get(name) != first.get(name) for name in ("hamiltonian", "shape")):
            raise ValueError(f"{path} has learned another system than {paths[0]}: sample them apart")
    models = [restored(checkpoint).to(device) for checkpoint in stored]
    source = _source(settings, stored, models, device)
    independent = isinstance(source, IndependentDraws)
    hamiltonian = build(first["hamiltonian"]).to(device) if first.get("hamiltonian") else None
    if not isinstance(hamiltonian, EnergyModel):
        raise ValueError(f"{paths[0]} does not say which Hamiltonian its data had: fit it with ebmphys fit")
    what = {"verb": "sample", **settings.what()}
    if settings.resume and settings.out.exists():
        writer = Writer.resume(settings.out)
        same = writer.header.settings == what and writer.header.provenance.get("inputs") == hashes(paths)
        if not (same and same_device(writer.header.provenance, device)):
            writer.close()
            raise ValueError(f"{settings.out} cannot be resumed: it was drawn with other settings, models or device")
    else:
        check_output(settings.out, settings.force)
        writer = Writer.create(
            settings.out,
            temperatures=[_temperature(checkpoint) for checkpoint in stored],
            draws=settings.draws,
            chains=settings.chains,
            n_sites=models[0].n_visible,
            unit="spin" if models[0].visible_unit.values else "gaussian",
            shape=first.get("shape"),
            block=block_of(settings.draws, len(models) * settings.chains, models[0].n_visible),
            settings=what,
            model=first["hamiltonian"],
            provenance=provenance(paths, device)
            | {"models": [str(path) for path in paths], "independent": independent},
            state=source.state(),
            force=settings.force,
        )
    with writer:
        collect(writer, source, hamiltonian.energy, what="sample", quiet=settings.quiet)
    return summary(Dataset(settings.out))


def _temperature(checkpoint: Checkpoint) -> float:
    value = checkpoint.provenance.get("temperature")
    if not isinstance(value, float):
        raise ValueError("a model file does not say which temperature it has learned: fit it with ebmphys fit")
    return value


def _source(settings: Sample, stored: list[Checkpoint], models: list[Model], device: torch.device) -> Source:
    rngs = [generator(settings.seed, "sample", _fingerprint(checkpoint), device=device) for checkpoint in stored]
    energies = [model for model in models if isinstance(model, EnergyModel)]
    if len(energies) == len(models):
        if settings.threshold:
            raise ValueError("--threshold is for a VAE: a Boltzmann machine's configurations are drawn")
        samplers = [suited_sampler(model) for model in energies]
        batches = [
            _started(sampler, checkpoint, settings, rng)
            for sampler, checkpoint, rng in zip(samplers, stored, rngs, strict=True)
        ]
        return MarkovChains(samplers, batches, thin=settings.thin, burn_in=settings.burn_in)
    independent = [model for model in models if isinstance(model, IndependentModel)]
    if energies:
        raise ValueError("models that need chains and models that do not cannot share a file: sample them apart")
    if settings.threshold:
        return IndependentDraws(independent, settings.chains, rngs, _thresholded)
    return IndependentDraws(independent, settings.chains, rngs, partial(_drawn, top_steps=max(1, settings.burn_in)))


def _fingerprint(checkpoint: Checkpoint) -> str:
    """Of the parameters: two models never share a random stream, and one model always has the same."""
    digest = hashlib.sha256(repr(checkpoint.config).encode())
    for name, tensor in sorted(checkpoint.parameters.items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _drawn(model: IndependentModel, n: int, rng: torch.Generator, top_steps: int) -> Tensor:
    return model.draw(n, rng, top_steps) if isinstance(model, DeepBeliefNet) else model.draw(n, rng)


def _thresholded(model: IndependentModel, n: int, rng: torch.Generator) -> Tensor:
    if not isinstance(model, VAE):
        raise ValueError("--threshold is for a VAE")
    return model.draw(n, rng, threshold=True)


def _started(sampler: Sampler, checkpoint: Checkpoint, settings: Sample, rng: torch.Generator) -> Chains:
    """Chains that go on from the training's persistent ones, where it kept any: those are near equilibrium."""
    chains = settings.chains
    begun = sampler.init(chains, rng=rng)
    kept = kept_draws(checkpoint.objective)
    if kept is not None and kept.shape[-1] == begun.x.shape[-1]:
        if chains > len(kept) and settings.burn_in == 0:
            raise ValueError(f"--chains {chains} start from {len(kept)} kept ones, some alike: give them a --burn-in")
        begun.x = kept[torch.arange(chains, device=kept.device) % len(kept)].to(begun.x)
    return begun
