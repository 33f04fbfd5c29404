"""``fit_mixture``: expectation-maximization through ``fit``, so that it is saved, resumed and watched like the rest."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ebmphys.generators import BernoulliMixture
from ebmphys.train.em.maximization import ExpectationMaximization
from ebmphys.train.em.posterior import MixturePosterior, PseudoCounts, as_mixture
from ebmphys.train.em.starts import effective_components, empty_components, spread_components
from ebmphys.train.history import History, Record
from ebmphys.train.loop import Monitor, fit
from ebmphys.train.settings import Training
from ebmphys.train.symmetries import Augmentation

_DECAY = 0.7


@dataclass(frozen=True)
class MixtureTraining:
    """The settings of EM; the defaults are exact EM on all data, with a weak prior.

    ``prior`` as pseudo-counts. ``samples`` S > 0 draws the responsibilities, S times (Monte Carlo EM). With
    ``batch_size`` there is an M-step after every batch (stepwise EM), without one only at the end of each pass over the
    data, which are then taken in parts that fit the memory. ``decay`` of the running averages, 0.7 with a batch_size
    and none without unless told. The rest as in ``Training``; ``stop_on`` may be ``loss``, minus the log posterior a
    configuration at the parameters that an epoch began with.
    Raises ValueError for settings that make no training.
    """

    epochs: int = 200
    prior: PseudoCounts = field(default_factory=lambda: PseudoCounts(sites=0.5))
    samples: int = 0
    batch_size: int | None = None
    decay: float | None = None
    cpu_seconds: float | None = None
    monitor_every: int = 20
    stop_on: str | None = None
    patience: int = 10
    maximise: bool = False
    checkpoint_seconds: float = 30.0

    def __post_init__(self) -> None:
        self.training(1)
        self.steps(MixturePosterior(1, self.prior))

    def training(self, rows: int) -> Training:
        """What ``fit`` is told, data being taken so many rows at a time unless there is a batch_size."""
        return Training(
            epochs=self.epochs,
            batch_size=rows if self.batch_size is None else self.batch_size,
            optimizer="sgd",
            learning_rate=1.0,
            schedule="constant",
            averaging=0.0,
            cpu_seconds=self.cpu_seconds,
            monitor_every=self.monitor_every,
            stop_on=self.stop_on,
            patience=self.patience,
            maximise=self.maximise,
            checkpoint_seconds=self.checkpoint_seconds,
        )

    def steps(self, posterior: MixturePosterior) -> ExpectationMaximization:
        """The M-steps of these settings."""
        batches = self.batch_size is not None
        decay = (_DECAY if batches else 0.0) if self.decay is None else self.decay
        return ExpectationMaximization(posterior, every_batch=batches, decay=decay)


def fit_mixture(
    model: BernoulliMixture,
    data: Tensor,
    settings: MixtureTraining,
    *,
    rng: torch.Generator,
    start: bool = True,
    augment: Sequence[Augmentation] = (),
    monitors: Mapping[str, Monitor] | None = None,
    on_epoch: Callable[[Record], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    provenance: Mapping[str, Any] | None = None,
) -> History:
    """Fit a mixture to data, (n, n_visible), by EM; model is changed in place.

    Components start on configurations of the data (``spread_components``), or with ``start`` false where they are.
    The history has ``fit``'s columns and ``components``, the effective number of them. An ``augment`` shows each epoch
    other data, and the loss then fluctuates: where the symmetry is exact, build it into the mixture instead.
    RuntimeWarning where components are left that hold less than one configuration. Saves, resumes, is interrupted, and
    raises ValueError and FileNotFoundError as ``fit``.
    """
    if start and not resume:
        spread_components(model, data, rng)
    posterior = MixturePosterior(len(data), settings.prior, settings.samples, rng if settings.samples else None)
    history = fit(
        model,
        data,
        posterior,
        settings.training(model.rows_at_once),
        rng=rng,
        augment=augment,
        transforms=[settings.steps(posterior)],
        monitors={"components": lambda mixture, _: effective_components(as_mixture(mixture)), **(monitors or {})},
        on_epoch=on_epoch,
        checkpoint=checkpoint,
        resume=resume,
        provenance=provenance,
    )
    empty = empty_components(model, len(data))
    if empty:
        warnings.warn(
            f"{empty} of {model.n_components} components hold less than one configuration of {len(data)}",
            RuntimeWarning,
            stacklevel=2,
        )
    return history
