"""Learning-rate schedules: the fraction of a run that is done -> what the learning rate is multiplied by."""

from __future__ import annotations

import math
from collections.abc import Callable

RateSchedule = Callable[[float], float]


def constant(progress: float) -> float:
    """1 throughout: the parameters then keep fluctuating about the optimum (Robbins and Monro 1951)."""
    return 1.0


def linear(progress: float) -> float:
    """1 - progress: falls to zero at the end of the run."""
    return max(0.0, 1.0 - progress)


def cosine(progress: float) -> float:
    """(1 + cos(pi progress)) / 2: flat at both ends (Loshchilov and Hutter 2017)."""
    return (1 + math.cos(math.pi * min(1.0, progress))) / 2


SCHEDULES: dict[str, RateSchedule] = {"constant": constant, "linear": linear, "cosine": cosine}
