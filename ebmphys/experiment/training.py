"""One training of one model, as the settings say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator
from torch import Tensor, nn

from ebmphys.checkpoint import Checkpoint, load
from ebmphys.experiment.generative_learning import GenerativeLearning
from ebmphys.experiment.learning import Learning, transforms_of
from ebmphys.experiment.lesson import Lesson
from ebmphys.experiment.machines import Machine
from ebmphys.experiment.resuming import check_same
from ebmphys.experiment.settings import Device, Flag
from ebmphys.experiment.usage import ModelName
from ebmphys.generators import BernoulliMixture
from ebmphys.objectives import Objective, two_phase
from ebmphys.train import (
    GradientTransform,
    History,
    MixturePosterior,
    MixtureTraining,
    Monitor,
    Progress,
    Training,
    fit,
    suited,
)

BEFORE = "seconds_before"  # of CPU, in the provenance of a model whose parts were trained before it

_RATES: dict[ModelName, float] = {
    "rbm": 2e-3,
    "vae": 5e-3,
    "cvae": 5e-3,
    "made": 2e-3,
    "pixelcnn": 4e-3,
    "frontier": 6e-3,
    "gan": 1e-3,
}
# Of machines whose every parameter learns from all sites at once, and has the less noise in its gradient.
_INVARIANT_RATES: dict[ModelName, float] = {"rbm": 1e-2, "bm": 2e-2}
_NATURAL_RATE, _FREE_ENERGY_RATE = 0.1, 4e-3
_BATCHES: dict[ModelName, int] = {"made": 200, "pixelcnn": 100, "frontier": 100}
_FREE_ENERGY_BATCH = 200
_CHAINS = {"negative", "positive", "k", "fantasy_chains", "sampler"}
_HIGHER_IS_BETTER = ("log_likelihood", "elbo")
_WATCHED = ("kl", "kl_estimate", "kl_bound", "restoration", *_HIGHER_IS_BETTER)


class Teaching(GenerativeLearning, Learning, Machine, group="Training"):
    """A model, how it learns, and for how long."""

    epochs: int = Field(default=Training.epochs, ge=1)
    """Passes over the data; of free-energy, 20 updates each."""
    cpu_seconds: float | None = Field(default=None, gt=0)
    """End after so many seconds of CPU, if that comes first; the looks of --monitor-every are not counted."""
    batch_size: int | None = Field(default=None, ge=1)
    """Configurations an update (default 500; made and free-energy 200, pixelcnn and frontier 100; of a mixture all, and
    where it is given a step of EM after each batch)."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """The optimizer."""
    learning_rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """At the start (default: one that works unattended for the model: rbm and made 0.002, vae and cvae 0.005, pixelcnn
    and free-energy 0.004, frontier 0.006, gan 0.001, others and autoregressive decoders 0.003; rbm and bm that are
    --invariant 0.01 and 0.02)."""
    schedule: Literal["constant", "cosine", "linear"] = "linear"
    """How the rate goes to zero."""
    symmetries: Literal["auto", "all", "none"] = "auto"
    """What the Hamiltonian allows (auto: of generated data only; all: of imported data too, as told to import): turn,
    shift and reflect each batch, and build the Z2 symmetry into the model: an RBM of spins without biases, --symmetric
    for models without chains; what the physics knows need not be learned."""
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
    def _learns(self) -> Teaching:
        """Refuse what would be ignored, and what comes to light only after a part of the training."""
        given = self.model_fields_set
        for names, why, there in (
            (_CHAINS, "the pseudo-likelihood, which needs no draws", self.objective == "pseudo-likelihood"),
            ({"fantasy_chains"}, f"--negative {self.negative}", self.negative in ("cd", "exact")),
            ({"k", "sampler"}, "--negative exact", self.negative == "exact"),
        ):
            unused = sorted(given & names) if there else []
            if unused:
                raise ValueError(f"--{unused[0].replace('_', '-')} is not for {why}")
        if self.gradient == "natural" and self.optimizer != "sgd":
            raise ValueError("--gradient natural needs --optimizer sgd: adam would rescale what it has scaled")
        if self.warm_up and self.cpu_seconds is not None and "epochs" not in given:
            raise ValueError("--warm-up is a share of --epochs: say how many beside --cpu-seconds")
        if self.pretrain and self.model in ("ae", "dae") and not self.layers:
            raise ValueError("--pretrain is for an ae or dae with hidden layers")
        return self

    @property
    def batch(self) -> int:
        """Configurations an update, as they were given or by default."""
        free = self.objective == "free-energy"
        default = _FREE_ENERGY_BATCH if free else _BATCHES.get(self.model, Training.batch_size)
        return self.batch_size or default

    @property
    def rate(self) -> float:
        """The learning rate at the start, as it was given or by default."""
        if self.gradient == "natural":
            default = _NATURAL_RATE
        elif self.objective == "free-energy":
            default = _FREE_ENERGY_RATE
        elif self.decoder == "autoregressive":
            default = Training.learning_rate
        elif self.invariant and self.model in _INVARIANT_RATES:
            default = _INVARIANT_RATES[self.model]
        else:
            default = _RATES.get(self.model, Training.learning_rate)
        return self.learning_rate or default


class Outcome(NamedTuple):
    """How a training went, what speaks against what came out, in words, and the CPU seconds of all its parts."""

    history: History
    warnings: list[str]
    seconds: float


def train(
    settings: Teaching,
    lesson: Lesson,
    model: nn.Module,
    objective: Objective,
    out: Path,
    *,
    hidden: tuple[Tensor, Tensor] | None = None,
    part: int = 0,
    parts: int = 1,
    before: float = 0.0,
    looks: Mapping[str, Monitor] | None = None,
) -> Outcome:
    """Fit a model to the lesson and save it; with ``hidden``, data to learn and held back of a layer within a model.

    It is number ``part`` of ``parts`` trainings that share the seconds; what came ``before`` it took so many of them.
    ``looks`` are monitors beside those suited to any model.
    Raises ValueError where stopping early has nothing to go by or settings differ from those of a training that is
    resumed, and KeyboardInterrupt once an interrupted training is saved.
    """
    begun: Checkpoint | None = None
    if settings.resume and out.exists():
        begun = _begun(settings, out)
        before = begun.provenance.get(BEFORE, 0.0)
    learn, held = (lesson.learn, lesson.held) if hidden is None else hidden
    augment = lesson.augment if hidden is None else ()
    target = lesson.law if hidden is None else None
    monitors = {**suited(model, objective, held, target, lesson.beta, lesson.chains), **(looks or {})}
    stop_on = next((name for name in _WATCHED if name in monitors), None)
    stop_early = settings.stop_early and not part
    if stop_early and stop_on is None:
        raise ValueError("--stop-early has nothing to go by: the likelihood of this model is out of reach")
    training = _training(settings, model, len(learn), stop_on if stop_early else None)
    if settings.cpu_seconds is not None:
        training = replace(training, cpu_seconds=settings.cpu_seconds / parts)
    with Progress(training, show=False if settings.quiet else None) as bar:
        history = fit(
            model,
            learn,
            objective,
            training,
            rng=lesson.rng("batches", *([part] if part else [])),
            augment=augment,
            transforms=_transforms(settings, model, objective),
            monitors=monitors,
            on_epoch=bar,
            checkpoint=out,
            resume=begun is not None,
            provenance=lesson.origin | {BEFORE: before},
        )
    if history.stopped == "interrupted":
        raise KeyboardInterrupt
    negative = getattr(two_phase(objective), "negative", None)
    idle = "" if begun is None or part else _idle(history, begun.epoch, out)
    warnings = [*filter(None, [idle, *history.doubts.values(), getattr(negative, "warning", "")])]
    return Outcome(history, warnings, before + (history[-1]["seconds"] if history else 0.0))


def _begun(settings: Teaching, out: Path) -> Checkpoint:
    """The training that is to be resumed. Raises ValueError unless it had these settings, its length apart."""
    begun, mine = load(out), settings.what()
    # A setting that the file does not know yet had its default.
    theirs = {name: field.default for name, field in type(settings).model_fields.items() if name in mine}
    theirs |= begun.provenance.get("settings", {})
    check_same(out, mine, theirs, free=("epochs", "cpu_seconds", "monitor_every"))
    return begun


def _idle(history: History, epochs: int, out: Path) -> str:
    """That a resumed training has added nothing to the epochs it had, in words."""
    if len(history) > epochs:
        return ""
    ended = {
        "finished": "give more --epochs to go on",
        "budget": "give more --cpu-seconds to go on",
        "early": "it had ended early",
    }
    return f"nothing was left to do: {out} has {epochs} epochs already, {ended[history.stopped]}"


def _training(settings: Teaching, model: nn.Module, n_data: int, stop_on: str | None) -> Training:
    if isinstance(model, BernoulliMixture):
        return replace(_expectation(settings).training(model.rows_at_once), **_looked(settings, stop_on))
    return Training(
        epochs=settings.epochs,
        batch_size=min(settings.batch, n_data),
        optimizer=settings.optimizer,
        learning_rate=settings.rate,
        schedule=settings.schedule,
        **_looked(settings, stop_on),
    )


def _looked(settings: Teaching, stop_on: str | None) -> dict[str, Any]:
    return {
        "monitor_every": settings.monitor_every,
        "stop_on": stop_on,
        "maximise": stop_on in _HIGHER_IS_BETTER,
    }


def _expectation(settings: Teaching) -> MixtureTraining:
    return MixtureTraining(epochs=settings.epochs, batch_size=settings.batch_size)


def _transforms(settings: Teaching, model: nn.Module, objective: Objective) -> list[GradientTransform]:
    if isinstance(objective, MixturePosterior):
        return [_expectation(settings).steps(objective)]
    return transforms_of(settings, model)
