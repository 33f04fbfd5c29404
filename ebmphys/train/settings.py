"""How to train: plain numbers and names, stored with the model that comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from ebmphys.train.schedules import SCHEDULES

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}


@dataclass(frozen=True)
class Training:
    """The settings of one training; the defaults fit an RBM to lattice configurations unattended.

    The run ends after ``epochs`` passes over the data or ``cpu_seconds`` of this process, whichever comes first, and
    ``schedule`` takes the learning rate there. ``averaging`` g > 0 makes the outcome the average of the parameters over
    about the last 1/(g + 1) of the updates, the t-th weighing in with (g + 1) / (g + t) (Shamir and Zhang 2013).
    ``stop_on`` names a monitored quantity: the run ends when ``patience`` evaluations in a row have not bettered
    it (lowered it, or raised it with ``maximise``), and the best parameters are the outcome.
    A budget in seconds ends where the clock says: only runs measured in epochs are reproducible bit for bit.
    Raises ValueError for settings that make no training.
    """

    epochs: int = 500
    batch_size: int = 500
    optimizer: str = "adam"
    learning_rate: float = 3e-3
    schedule: str = "linear"
    averaging: float = 8.0
    cpu_seconds: float | None = None
    monitor_every: int = 20
    stop_on: str | None = None
    patience: int = 10
    maximise: bool = False
    checkpoint_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "monitor_every", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be positive and finite, got {self.learning_rate}")
        if self.averaging < 0:
            raise ValueError(f"averaging must be 0 (none) or positive, got {self.averaging}")
        if self.cpu_seconds is not None and not self.cpu_seconds > 0:
            raise ValueError(f"cpu_seconds must be positive, got {self.cpu_seconds}")

    def make_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over the parameters that learn."""
        learning = [p for p in model.parameters() if p.requires_grad]
        # One kernel for all parameters: at these sizes the calls would cost more than the arithmetic.
        return OPTIMIZERS[self.optimizer](learning, lr=self.learning_rate, fused=True)
