"""``fit``: the one training loop, for every model and every objective."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ebmphys.checkpoint import Checkpoint, load, save
from ebmphys.energies import EnergyModel
from ebmphys.generators import ConditionalVAE
from ebmphys.objectives import Objective
from ebmphys.train.gradients import GradientTransform, suited_transforms
from ebmphys.train.history import History, Record
from ebmphys.train.settings import Training
from ebmphys.train.state import Parameters, Run
from ebmphys.train.symmetries import Augmentation

Monitor = Callable[[nn.Module, Objective], float]


def fit(
    model: nn.Module,
    data: Tensor,
    objective: Objective,
    settings: Training,
    *,
    rng: torch.Generator,
    optimizer: torch.optim.Optimizer | None = None,
    augment: Sequence[Augmentation] = (),
    transforms: Sequence[GradientTransform] | None = None,
    monitors: Mapping[str, Monitor] | None = None,
    on_epoch: Callable[[Record], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    provenance: Mapping[str, Any] | None = None,
) -> History:
    """Descend the objective's gradient over shuffled batches of the data, (n, n_visible); model is changed in place.

    Every row counts, duplicates included. The data may be of any type and on any device: batches are moved to the
    model's. ``augment`` maps each batch by symmetries of the data; gradients go through ``transforms`` before the
    optimizer sees them, those suited to the model unless told; ``monitors`` are measured every ``monitor_every``
    epochs and at the end, on the parameters that the run would end with; their CPU seconds do not count as the run's,
    neither for its budget nor for its learning rate. ``on_epoch`` is handed each record.
    With ``checkpoint`` the training is saved there every ``checkpoint_seconds`` and at the end, ``provenance`` with it,
    and ``resume`` continues what is there bit for bit. Ctrl-C (KeyboardInterrupt) ends the training at the last whole
    epoch, saved and returned; where a monitor raises, that much is saved too before the error goes on.
    Raises ValueError for data that the model cannot have made, a loss that is not finite, or a checkpoint of another
    training; FileNotFoundError where there is nothing to resume.
    """
    monitors = {} if monitors is None else monitors
    check_data(model, data)
    through = suited_transforms(model) if transforms is None else transforms
    run = Run(model, objective, optimizer or settings.make_optimizer(model), settings, rng, through)
    _check_plan(run, monitors)
    saves = None if checkpoint is None else _Saves(checkpoint, _fingerprint(data), dict(provenance or {}))
    if resume:
        _continue(run, saves)
    n_batches = math.ceil(len(data) / settings.batch_size)
    place = next(model.parameters())
    whole = run.checkpoint()
    model.train()
    try:
        while not run.stopped():
            total = torch.zeros((), device=place.device)
            order = torch.randperm(len(data), generator=rng, device=rng.device).to(data.device)
            # Batches of nearly equal size: a small last one would weigh as much as a full one.
            for number, rows in enumerate(order.tensor_split(n_batches)):
                v = data[rows].to(place)
                for symmetry in augment:
                    v = symmetry(v, rng)
                run.set_rate(run.epoch + number / n_batches)
                loss = objective(model, v)
                run.optimizer.zero_grad()
                loss.backward()
                run.step(v)
                total += loss.detach() * len(rows)
            run.epoch += 1
            record = _record(run, float(total) / len(data))
            if run.epoch % settings.monitor_every == 0:
                record |= _look(run, monitors, saves, whole)
            run.judge(record)
            run.history.append(record)
            whole = run.checkpoint()
            if on_epoch is not None:
                on_epoch(record)
            if saves is not None and saves.age > settings.checkpoint_seconds:
                saves.write(whole)
        run.history.stopped = run.stopped()
        if run.history and not set(monitors) <= set(run.history[-1]):
            run.history[-1] |= _look(run, monitors, saves, whole)
            run.judge(run.history[-1])
    except KeyboardInterrupt:
        run.restore(whole)
        run.history.stopped = "interrupted"
    whole = run.checkpoint()
    if saves is not None:
        saves.write(whole)
    model.load_state_dict(whole.parameters)
    model.eval()
    return run.history


def measure(run: Run, monitors: Mapping[str, Monitor]) -> dict[str, float]:
    """Every monitor on the parameters that the run would end with now, if it judged nothing better before."""
    latest: Parameters = run.latest()
    began = time.process_time()
    try:
        run.model.load_state_dict(run.candidate())
        run.model.eval()
        with torch.no_grad():
            return {name: float(monitor(run.model, run.objective)) for name, monitor in monitors.items()}
    finally:
        run.model.load_state_dict(latest)
        run.model.train()
        run.skip(began)


def _look(run: Run, monitors: Mapping[str, Monitor], saves: _Saves | None, whole: Checkpoint) -> dict[str, float]:
    """``measure``, with the last whole epoch saved where it fails: an error in a monitor must not cost the training."""
    try:
        return measure(run, monitors)
    except Exception:
        if saves is not None:
            saves.write(whole)
        raise


def check_data(model: nn.Module, data: Tensor) -> None:
    """Raise ValueError unless the data are rows of the model's visible sites, finite, in its units' values.

    Rows of a conditional VAE have their conditions after the sites.
    """
    if isinstance(model, ConditionalVAE):
        model.check_rows(data)
        return
    n = getattr(model, "n_visible", None)
    if data.ndim != 2 or data.shape[-1] != n or not len(data):
        raise ValueError(f"data must be rows of {n} visible sites, got shape {tuple(data.shape)}")
    values = model.visible_unit.values if isinstance(model, EnergyModel) else ()
    for rows in data.split(2**16):
        if not bool(rows.isfinite().all()):
            raise ValueError("data hold numbers that are not finite")
        if values and not bool(torch.isin(rows, torch.tensor(values, device=rows.device).to(rows.dtype)).all()):
            raise ValueError(f"the model's visible units take the values {list(values)}, the data hold others")


def _record(run: Run, loss: float) -> Record:
    if not (math.isfinite(loss) and all(bool(p.isfinite().all()) for p in run.learning.values())):
        raise ValueError(f"training diverged in epoch {run.epoch}: a lower learning_rate may hold it")
    rate = run.optimizer.param_groups[0]["lr"]
    place = {"epoch": run.epoch, "updates": run.updates, "seconds": run.spend()}
    return place | {"learning_rate": rate, "loss": loss}


def _check_plan(run: Run, monitors: Mapping[str, Monitor]) -> None:
    name = run.settings.stop_on
    if name is not None and name not in (*monitors, "loss"):
        raise ValueError(f"stop_on is {name!r}, but what is measured is {', '.join((*monitors, 'loss'))}")
    if not run.learning:
        raise ValueError(f"{type(run.model).__name__} has no parameters to learn")


@dataclass
class _Saves:
    """Where a run is saved, and what each save says about where it came from."""

    path: str | os.PathLike[str]
    fingerprint: str
    provenance: dict[str, Any]
    last: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        return time.monotonic() - self.last

    def write(self, whole: Checkpoint) -> None:
        whole.schedule["data"] = self.fingerprint
        save(self.path, replace(whole, provenance=self.provenance))
        self.last = time.monotonic()


def _continue(run: Run, saves: _Saves | None) -> None:
    if saves is None:
        raise ValueError("resume needs the checkpoint to continue from")
    stored = load(saves.path, next(run.model.parameters()).device)
    if stored.config != getattr(run.model, "config", {}):
        raise ValueError(f"cannot resume: {saves.path} is of another model than the one given")
    if stored.schedule.get("data") != saves.fingerprint:
        raise ValueError(f"cannot resume: {saves.path} was trained on other data than those given")
    run.restore(stored)


def _fingerprint(data: Tensor) -> str:
    numbers = data.detach().cpu().contiguous().numpy()
    return hashlib.sha256(repr((data.shape, data.dtype)).encode() + numbers.tobytes()).hexdigest()
