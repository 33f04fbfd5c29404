"""The state of a training between two epochs, in a form that is saved, rolled back to and resumed from alike."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.checkpoint import Checkpoint, check_parameters
from ebmphys.objectives import Objective, Stateful, two_phase
from ebmphys.train import gradients
from ebmphys.train.gradients import GradientTransform
from ebmphys.train.history import History, Record
from ebmphys.train.schedules import SCHEDULES
from ebmphys.train.settings import Training

Parameters = dict[str, Tensor]

# What may change when a run is resumed: where it ends and what is looked at on the way, not what an update does.
_FREE = ("epochs", "cpu_seconds", "monitor_every", "patience", "checkpoint_seconds")


class Run:
    """A model being trained, and where it stands.

    ``outcome`` are the parameters that the training stands for: the best so far where it stops early, else the
    average where it averages, else the latest.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        settings: Training,
        rng: torch.Generator,
        transforms: Sequence[GradientTransform] = (),
    ) -> None:
        self.model, self.objective, self.optimizer = model, objective, optimizer
        self.settings, self.rng, self.transforms = settings, rng, tuple(transforms)
        self.base_rates = [group["lr"] for group in optimizer.param_groups]
        self.learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.average: Parameters = {name: p.detach().clone() for name, p in self.learning.items()}
        self.best: Parameters = {}
        self.best_value: float | None = None
        self.epoch = self.updates = self.stale = 0
        self.seconds = 0.0
        self.history = History()
        self.tick = time.process_time()

    def spend(self) -> float:
        """CPU seconds of the run so far, over all its parts, those of monitors apart."""
        now = time.process_time()
        self.seconds, self.tick = self.seconds + now - self.tick, now
        return self.seconds

    def skip(self, since: float) -> None:
        """Leave the CPU seconds since a reading of the clock out of account: they were not spent on training."""
        self.tick += time.process_time() - since

    def set_rate(self, epoch: float) -> None:
        """The learning rate at a point of the run, in epochs or in seconds, whichever is nearer to its end."""
        progress = epoch / self.settings.epochs
        if self.settings.cpu_seconds is not None:
            progress = max(progress, self.spend() / self.settings.cpu_seconds)
        factor = SCHEDULES[self.settings.schedule](progress)
        for group, base in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = base * factor

    def step(self, v: Tensor) -> None:
        """One update with the gradients that ``backward`` left, v being the batch that they are of."""
        phases = two_phase(self.objective)
        for transform in self.transforms:
            transform.before_step(self.model, v, None if phases is None else phases.draws)
        self.optimizer.step()
        for transform in reversed(self.transforms):
            transform.after_step(self.model)
        self.after_update()

    @torch.no_grad()
    def after_update(self) -> None:
        self.updates += 1
        gamma = self.settings.averaging
        if gamma:
            weight = min(1.0, (gamma + 1) / (gamma + self.updates))
            torch._foreach_lerp_(list(self.average.values()), list(self.learning.values()), weight)

    def stopped(self) -> str:
        """Why the run is over, empty while it is not."""
        budget = self.settings.cpu_seconds
        if self.settings.stop_on and self.stale >= self.settings.patience:
            return "early"
        if self.epoch >= self.settings.epochs:
            return "finished"
        return "budget" if budget is not None and self.seconds >= budget else ""

    def judge(self, record: Record) -> None:
        """Early stopping: note whether the record betters the best so far."""
        name = self.settings.stop_on
        if name is None or name not in record:
            return
        value = float(record[name]) * (-1 if self.settings.maximise else 1)
        if self.best_value is None or value < self.best_value:
            self.best_value, self.stale, self.best = value, 0, self.candidate()
        else:
            self.stale += 1

    def latest(self) -> Parameters:
        return {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def candidate(self) -> Parameters:
        """The parameters that monitors judge: averaged where the run averages."""
        averaged = {name: p.clone() for name, p in self.average.items()} if self.settings.averaging else {}
        return self.latest() | averaged

    def outcome(self) -> Parameters:
        return self.best or self.candidate()

    def checkpoint(self) -> Checkpoint:
        """A copy of everything; ``restore`` of it continues bit for bit."""
        objective: dict[str, Any] = self.objective.state_dict() if isinstance(self.objective, Stateful) else {}
        schedule = {"updates": self.updates, "seconds": self.seconds, "stale": self.stale, "best": self.best_value}
        config: Any = getattr(self.model, "config", {})
        return Checkpoint(
            config=config,
            parameters=self.outcome(),
            aside={
                "latest": self.latest(),
                "average": {name: p.clone() for name, p in self.average.items()},
                "best": dict(self.best),
            },
            optimizer=copy.deepcopy(self.optimizer.state_dict()),
            schedule=schedule | {"stopped": self.history.stopped, "transforms": gradients.stored(self.transforms)},
            objective=objective,
            rng={"fit": self.rng.get_state()},
            epoch=self.epoch,
            history=list(self.history),
            settings=asdict(self.settings),
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint of the same training.

        Raises ValueError where it is of another model, or its settings differ in what an update does.
        """
        mine, theirs = asdict(self.settings), checkpoint.settings
        for name in set(mine) - set(_FREE):
            if theirs.get(name) != mine[name]:
                raise ValueError(f"cannot resume: {name} was {theirs.get(name)!r} and is now {mine[name]!r}")
        aside = checkpoint.aside
        if not {"latest", "average", "best"} <= set(aside):
            raise ValueError("cannot resume: the checkpoint holds a model, not a training")
        check_parameters(self.model, aside["latest"])
        gradients.restore(self.transforms, checkpoint.schedule.get("transforms", []))
        self.model.load_state_dict(aside["latest"])
        self.average = {name: aside["average"][name].clone() for name in self.learning}
        self.best = dict(aside["best"])
        self.optimizer.load_state_dict(copy.deepcopy(checkpoint.optimizer))
        if isinstance(self.objective, Stateful):
            self.objective.load_state_dict(checkpoint.objective)
        self.rng.set_state(checkpoint.rng["fit"])
        place = checkpoint.schedule
        self.updates, self.seconds, self.stale = place["updates"], place["seconds"], place["stale"]
        self.best_value, self.epoch = place["best"], checkpoint.epoch
        self.history[:] = checkpoint.history
        self.tick = time.process_time()
