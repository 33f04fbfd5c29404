"""How configurations travel along a ladder: walkers, round trips and the flow between the ends."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RoundTrips:
    """Journeys hottest -> coldest -> hottest, counted in draws.

    trips (..., n_temperatures): completed by each walker; rate: of all walkers of a ladder together, a draw;
    mean_time: of a completed trip, nan where there is none; flow (n_temperatures,): of the walkers that have been at
    an end, the fraction whose last end was the hottest, from 1 there to 0 at the coldest, nan where there are none.
    Seen after a whole step it is a staircase, since the odd pairs have just been mixed: nearly flat on them.
    """

    trips: Tensor
    rate: float
    mean_time: float
    flow: Tensor


def walkers(sources: Tensor) -> Tensor:
    """Which walker is at each temperature after each step, from the ``source`` of consecutive steps.

    A walker's name is its temperature before the first step. (draw, ..., n_temperatures) -> the same shape.
    """
    labels = torch.empty_like(sources)
    now = torch.arange(sources.shape[-1], device=sources.device).expand(sources.shape[1:])
    for number, source in enumerate(sources):
        now = labels[number] = now.gather(-1, source)
    return labels


def round_trips(labels: Tensor, betas: Tensor) -> RoundTrips:
    """Round trips and their flow (Katzgraber, Trebst, Huse and Troyer 2006) in a series of ``walkers``.

    A trip starts at the first arrival at the hottest temperature. In the even-odd scheme a walker that comes to an
    end of the ladder is still there when the step is over, so one draw a step misses no trip.
    labels: (draw, ..., n_temperatures); betas: (n_temperatures,) or (..., n_temperatures).
    Raises ValueError for betas that do not fit the labels.
    """
    if betas.ndim == 0 or betas.shape[-1] != labels.shape[-1]:
        raise ValueError(
            f"{labels.shape[-1]} temperatures in the labels need as many betas, got shape {tuple(betas.shape)}"
        )
    last_end = _last_end(labels.argsort(-1), betas.to(labels.device))
    hot = last_end == 1
    arrived = torch.cat([hot[:1], hot[1:] & ~hot[:-1]])
    trips = (arrived.sum(0) - 1).clamp(min=0)
    n_draws, total = len(labels), int(trips.sum())
    first = arrived.int().argmax(0)
    last = n_draws - 1 - arrived.flip(0).int().argmax(0)
    time = int(torch.where(trips > 0, last - first, 0).sum())
    n_ladders = labels[0].numel() // labels.shape[-1]
    at_temperature = last_end.gather(-1, labels).flatten(0, -2)
    flow = (at_temperature == 1).sum(0).double() / (at_temperature != 0).sum(0)
    return RoundTrips(trips, total / (n_draws * n_ladders), time / total if total else float("nan"), flow)


def _last_end(places: Tensor, betas: Tensor) -> Tensor:
    """The end of the ladder that each walker saw last: 1 the hottest, -1 the coldest, 0 none yet; same shape."""
    hottest, coldest = betas.argmin(-1, keepdim=True), betas.argmax(-1, keepdim=True)
    end = (places == hottest).long() - (places == coldest).long()
    time = torch.arange(1, len(end) + 1, device=end.device).reshape(-1, *(1,) * (end.ndim - 1))
    seen = torch.where(end != 0, time, 0).cummax(0).values
    return torch.where(seen > 0, end.gather(0, (seen - 1).clamp(min=0)), 0)
