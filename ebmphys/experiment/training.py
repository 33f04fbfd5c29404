"""One training of one model, as the settings say."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, model_validator
from torch import Tensor, nn

from ebmphys.checkpoint import load
from ebmphys.experiment.learning import Learning, transforms_of
from ebmphys.experiment.lesson import Lesson
from ebmphys.experiment.machines import Machine
from ebmphys.experiment.settings import Device, Flag
from ebmphys.objectives import Objective, two_phase
from ebmphys.train import History, Progress, Training, fit, suited

_RATES = {"vae": 5e-3}
_NATURAL_RATE = 0.1
_CHAINS = {"negative", "positive", "k", "fantasy_chains", "sampler"}
_HIGHER_IS_BETTER = ("log_likelihood", "elbo")
_WATCHED = ("kl", "kl_estimate", "kl_bound", *_HIGHER_IS_BETTER)


class Teaching(Machine, Learning):
    """A model, how it learns, and for how long."""

    epochs: int = Field(default=Training.epochs, ge=1)
    """Passes over the data."""
    cpu_seconds: float | None = Field(default=None, gt=0)
    """End after so many seconds of CPU, if that comes first; the looks of --monitor-every are not counted."""
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
    def _used(self) -> Teaching:
        """Refuse what would be ignored, and what comes to light only after a part of the training."""
        given = self.model_fields_set
        for names, why, there in (
            (Learning.model_fields.keys(), "a vae", self.model == "vae"),
            ({"latent"}, f"a {self.model}, but for a vae", self.model != "vae"),
            ({"objective", "positive", "gradient", "stop_early"}, "a dbn", self.model == "dbn"),
            ({"positive"}, f"a {self.model}, but for a bm or dbm", self.model not in ("bm", "dbm")),
            (_CHAINS, "the pseudo-likelihood, which needs no draws", self.objective == "pseudo-likelihood"),
            ({"fantasy_chains"}, f"--negative {self.negative}", self.negative in ("cd", "exact")),
            ({"k", "sampler"}, "--negative exact", self.negative == "exact"),
        ):
            unused = sorted(given & names) if there else []
            if unused:
                raise ValueError(f"--{unused[0].replace('_', '-')} is not for {why}")
        if self.objective == "pseudo-likelihood" and self.model == "dbm":
            raise ValueError("--objective pseudo-likelihood is not for a dbm, whose hidden units cannot be summed out")
        if self.gradient == "natural" and self.optimizer != "sgd":
            raise ValueError("--gradient natural needs --optimizer sgd: adam would rescale what it has scaled")
        return self


class Outcome(NamedTuple):
    """How a training went, and what speaks against what came out, in words."""

    history: History
    warnings: list[str]


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
) -> Outcome:
    """Fit a model to the lesson and save it; with ``hidden``, data to learn and held back of a layer within a model.

    It is number ``part`` of ``parts`` trainings that share the seconds. Raises ValueError where stopping early has
    nothing to go by or settings differ from those of a training that is resumed, and KeyboardInterrupt once an
    interrupted training is saved.
    """
    resume = settings.resume and out.exists()
    if resume:
        check_same(settings, out)
    learn, held = (lesson.learn, lesson.held) if hidden is None else hidden
    augment = lesson.augment if hidden is None else ()
    monitors = suited(model, objective, held, lesson.target if hidden is None else None, lesson.beta)
    stop_on = next((name for name in _WATCHED if name in monitors), None)
    if settings.stop_early and stop_on is None:
        raise ValueError("--stop-early has nothing to go by: the likelihood of this model is out of reach")
    training = Training(
        epochs=settings.epochs,
        batch_size=min(settings.batch_size, len(learn)),
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate or _rate(settings),
        schedule=settings.schedule,
        cpu_seconds=None if settings.cpu_seconds is None else settings.cpu_seconds / parts,
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
            rng=lesson.rng("batches", *([part] if part else [])),
            augment=augment,
            transforms=transforms_of(settings, model),
            monitors=monitors,
            on_epoch=bar,
            checkpoint=out,
            resume=resume,
            provenance=lesson.origin,
        )
    if history.stopped == "interrupted":
        raise KeyboardInterrupt
    negative = getattr(two_phase(objective), "negative", None)
    return Outcome(history, [*filter(None, [*history.doubts.values(), getattr(negative, "warning", "")])])


def check_same(settings: Teaching, out: Path) -> None:
    """Raise ValueError unless a fit that is to be resumed was begun with these settings, its length apart."""
    length = ("epochs", "cpu_seconds", "monitor_every")
    theirs, mine = load(out).provenance.get("settings", {}), settings.what()
    for name in (mine.keys() | theirs.keys()) - set(length):
        if mine.get(name) != theirs.get(name):
            raise ValueError(
                f"{out} cannot be resumed: {name} was {theirs.get(name)!r} there and is {mine.get(name)!r} now"
            )


def _rate(settings: Teaching) -> float:
    return _NATURAL_RATE if settings.gradient == "natural" else _RATES.get(settings.model, Training.learning_rate)
