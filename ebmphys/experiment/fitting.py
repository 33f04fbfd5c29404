"""``fit``: a model fitted to the configurations of one temperature, or one model each at several."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from ebmphys.checkpoint import build, load
from ebmphys.dataset import Dataset
from ebmphys.energies import RBM, EnergyModel, Ising
from ebmphys.experiment.provenance import provenance
from ebmphys.experiment.settings import Device, Flag, Layers, Settings, Temperatures, check_output, place
from ebmphys.generators import VAE
from ebmphys.lattice import Lattice
from ebmphys.objectives import ELBO, ContrastiveDivergence, Objective
from ebmphys.rng import generator
from ebmphys.train import Augmentation, GlobalFlip, LatticeMoves, Progress, Training, fit, split_chains, suited
from ebmphys.units import Bit, Unit, build_unit

PLACEHOLDER = "{temperature}"
_HIDDEN = {"rbm": (64,), "vae": (128, 128)}
_RATES = {"rbm": Training.learning_rate, "vae": 5e-3}
_HIGHER_IS_BETTER = ("log_likelihood", "elbo")
_WATCHED = ("kl", "kl_estimate", "kl_bound", *_HIGHER_IS_BETTER)


class Fit(Settings):
    """Fit a restricted Boltzmann machine or a variational autoencoder to the configurations of a dataset."""

    data: Path
    """The dataset to learn from."""
    out: Path
    """The model file to write; with several temperatures its name contains {temperature}."""
    model: Literal["rbm", "vae"]
    """A restricted Boltzmann machine (contrastive divergence), or a variational autoencoder (ELBO)."""
    temperature: Temperatures | None = None
    """Which temperature to learn, or several, one model each; not needed where the data have one."""
    hidden: Layers | None = None
    """Hidden units of an RBM (default 64), or hidden layers of a VAE, the decoder's reversed (default 128,128)."""
    latent: int = Field(default=2, ge=1)
    """Latent variables of a VAE."""
    visible_unit: Literal["spin", "bit", "gaussian"] = "spin"
    """What a visible site is to the model."""
    hidden_unit: Literal["spin", "bit", "gaussian"] = "spin"
    """What a hidden unit of an RBM is."""
    learn_sigma: Flag = False
    """Learn the width of a VAE's Gaussian likelihood."""
    k: int = Field(default=10, ge=1)
    """Gibbs steps of the negative phase an update."""
    negative: Literal["pcd", "cd"] = "pcd"
    """Chains that live on between updates (persistent), or start at the data each time."""
    fantasy_chains: int = Field(default=500, ge=1)
    """Persistent chains."""
    epochs: int = Field(default=Training.epochs, ge=1)
    """Passes over the data."""
    cpu_seconds: float | None = Field(default=None, gt=0)
    """End after so many seconds of CPU, if that comes first."""
    batch_size: int = Field(default=Training.batch_size, ge=1)
    """Configurations an update."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """The optimizer."""
    learning_rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """At the start (default: one that works unattended for the model)."""
    schedule: Literal["constant", "cosine", "linear"] = "linear"
    """How the rate goes to zero."""
    symmetries: Literal["auto", "all", "none"] = "auto"
    """What the Hamiltonian allows (auto: of generated data only; all: of imported data too, as told to import): turn,
    shift and reflect each batch, and leave out the biases of an RBM of spins, so that it has the Z2 symmetry too; what
    the physics knows need not be learned."""
    validation: float = Field(default=0.1, gt=0, lt=1)
    """The fraction of the data that is held back."""
    monitor_every: int = Field(default=Training.monitor_every, ge=1)
    """Epochs between two looks at likelihood, KL and chains."""
    stop_early: Flag = False
    """End when the KL, or else the validation likelihood or bound, has not improved for ten looks; keep the best."""
    seed: int = Field(default=1, ge=0)
    """Makes a run reproducible bit for bit on one device."""
    device: Device = "auto"
    """Where to compute: auto is cuda where it is there."""
    force: Flag = False
    """Replace the output if it exists."""
    resume: Flag = False
    """Continue an interrupted fit, bit for bit."""
    quiet: Flag = False
    """No progress bar."""

    @model_validator(mode="after")
    def _one_layer(self) -> Fit:
        if self.model == "rbm" and self.hidden is not None and len(self.hidden) > 1:
            raise ValueError(f"--hidden of an RBM is one number, got {', '.join(map(str, self.hidden))}")
        return self

    def outputs(self) -> dict[float, Path]:
        """Temperature -> the file of its model. Raises ValueError where the name cannot tell several apart."""
        there = Dataset(self.data).temperatures.tolist()
        chosen = self.temperature
        if chosen is None:
            if len(there) > 1:
                raise ValueError(f"{self.data} has {len(there)} temperatures: say which with --temperature")
            chosen = tuple(there)
        if len(chosen) > 1 and PLACEHOLDER not in self.out.name:
            raise ValueError(f"several temperatures need {PLACEHOLDER} in --out, such as rbm-{PLACEHOLDER}.pt")
        return {t: self.out.with_name(self.out.name.replace(PLACEHOLDER, f"{t:g}")) for t in chosen}


def fit_model(settings: Fit) -> dict[str, Any]:
    """Fit one model a temperature; what each reached.

    Raises FileNotFoundError, FileExistsError and ValueError, before anything is trained.
    """
    outputs = settings.outputs()
    for temperature, out in outputs.items():
        Dataset(settings.data).energy(temperature)
        if not (settings.resume and out.exists()):
            check_output(out, settings.force)
    return {"models": [_fit_one(settings, temperature, out) for temperature, out in outputs.items()]}


def _fit_one(settings: Fit, temperature: float, out: Path) -> dict[str, Any]:
    device, source = place(settings.device), Dataset(settings.data)
    if settings.resume and out.exists():
        _check_same(settings, out)
    hamiltonian = None if source.model is None else build(source.model).to(device)
    data = source.x(temperature, unit=_two_valued(settings.visible_unit), device=device)
    stream = (settings.seed, "fit", settings.model, f"{temperature:.12g}")
    learn, held = split_chains(data, source.chains, settings.validation, generator(*stream, "split", device=device))
    known = settings.symmetries == "all" or (settings.symmetries == "auto" and source.settings.get("verb") != "import")
    augment = _symmetries(hamiltonian if known else None, build_unit(settings.visible_unit))
    even = any(isinstance(symmetry, GlobalFlip) for symmetry in augment)
    model = _model(settings, data.shape[-1], even, generator(*stream, "weights", device=device), device)
    objective = _objective(settings, model, generator(*stream, "objective", device=device))
    target = hamiltonian if isinstance(hamiltonian, EnergyModel) else None
    monitors = suited(model, objective, held, target, 1 / temperature)
    stop_on = next((name for name in _WATCHED if name in monitors), None)
    if settings.stop_early and stop_on is None:
        raise ValueError("--stop-early has nothing to go by: the likelihood of this model is out of reach")
    training = Training(
        epochs=settings.epochs,
        batch_size=min(settings.batch_size, len(learn)),
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate or _RATES[settings.model],
        schedule=settings.schedule,
        cpu_seconds=settings.cpu_seconds,
        monitor_every=settings.monitor_every,
        stop_on=stop_on if settings.stop_early else None,
        maximise=stop_on in _HIGHER_IS_BETTER,
    )
    with Progress(training, show=False if settings.quiet else None) as bar:
        history = fit(
            model,
            learn,
            objective,
            training,
            rng=generator(*stream, "batches", device=device),
            augment=augment,
            monitors=monitors,
            on_epoch=bar,
            checkpoint=out,
            resume=settings.resume and out.exists(),
            provenance=_origin(settings, source, temperature, device),
        )
    if history.stopped == "interrupted":
        raise KeyboardInterrupt
    last = {name: value for name, value in history[-1].items() if name != "loss"} if history else {}
    return {"out": str(out), "temperature": temperature, "stopped": history.stopped, **last}


def _check_same(settings: Fit, out: Path) -> None:
    """Raise ValueError unless a fit that is to be resumed was begun with these settings, its length apart."""
    length = ("epochs", "cpu_seconds", "monitor_every")
    theirs, mine = load(out).provenance.get("settings", {}), settings.what()
    for name in (mine.keys() | theirs.keys()) - set(length):
        if mine.get(name) != theirs.get(name):
            raise ValueError(
                f"{out} cannot be resumed: {name} was {theirs.get(name)!r} there and is {mine.get(name)!r} now"
            )


def _model(settings: Fit, n_visible: int, even: bool, rng: torch.Generator, device: torch.device) -> RBM | VAE:
    layers = settings.hidden or _HIDDEN[settings.model]
    visible = build_unit(settings.visible_unit)
    if settings.model == "rbm":
        hidden = build_unit(settings.hidden_unit)
        # Bits without biases favour no sign of themselves, but are not symmetric: only spins and Gaussians are.
        biases = not even or isinstance(visible, Bit) or isinstance(hidden, Bit)
        return RBM(n_visible, layers[0], visible, hidden, biases=biases, rng=rng, device=device)
    return VAE(n_visible, layers, settings.latent, visible, learn_sigma=settings.learn_sigma, rng=rng, device=device)


def _objective(settings: Fit, model: nn.Module, rng: torch.Generator) -> Objective:
    if isinstance(model, VAE):
        return ELBO(rng)
    persistent = settings.negative == "pcd"
    return ContrastiveDivergence(settings.k, rng, persistent=persistent, n_chains=settings.fantasy_chains)


def _symmetries(hamiltonian: nn.Module | None, unit: Unit) -> list[Augmentation]:
    """The symmetries that the Hamiltonian of the data has: none where it is not known."""
    if not isinstance(hamiltonian, Ising):
        return []
    found: list[Augmentation] = [] if bool(hamiltonian.fields.any()) else [GlobalFlip(unit)]
    same = bool((hamiltonian.couplings == hamiltonian.couplings[:1]).all())
    alike = same and bool((hamiltonian.fields == hamiltonian.fields[0]).all())
    if alike and isinstance(hamiltonian.graph, Lattice):
        found.append(LatticeMoves(hamiltonian.graph))
    return found


def _two_valued(unit: str) -> str | None:
    """The values to read two-valued data in; a Gaussian unit sees spins as -1 and +1."""
    return unit if unit in ("spin", "bit") else None


def _origin(settings: Fit, source: Dataset, temperature: float, device: torch.device) -> dict[str, Any]:
    """What the model file remembers of the data: enough to draw into a file of the same kind and compare."""
    return provenance([settings.data], device) | {
        "verb": "fit",
        "settings": settings.what(),
        "temperature": temperature,
        "hamiltonian": source.model,
        "shape": None if source.shape is None else list(source.shape),
        "unit": source.unit,
    }
