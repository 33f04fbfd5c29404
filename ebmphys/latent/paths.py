"""Ways through the latents, and the configurations that the decoder expects along them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ebmphys.generators import FactorisedModel, LatentVariableModel
from ebmphys.latent.encoding import Real


@dataclass(frozen=True)
class Path:
    """Points among the latents, (step, latent), and E[v | z] at each, (step, n_visible): means, and no configurations.

    Of a symmetric model E[v | z] is that of the half of the mixture that the decoder gives.
    """

    z: Real
    means: Real


@torch.no_grad()
def traversal(
    model: LatentVariableModel, latent: int, values: Sequence[float], start: Sequence[float] | None = None
) -> Path:
    """E[v | z] while one latent takes the values and the others stay at ``start``, 0 unless given.

    Raises ValueError for a latent that the model does not have, or a decoder whose sites depend on each other.
    """
    if not 0 <= latent < model.latent:
        raise ValueError(f"the model has latents 0 to {model.latent - 1}, got {latent}")
    z = torch.zeros(model.latent) if start is None else torch.as_tensor(start, dtype=torch.float32)
    if z.shape != (model.latent,):
        raise ValueError(f"start must have {model.latent} numbers, one a latent, got shape {tuple(z.shape)}")
    points = z.repeat(len(values), 1)
    points[:, latent] = torch.as_tensor(values, dtype=points.dtype)
    return _decoded(model, points)


@torch.no_grad()
def interpolation(model: LatentVariableModel, first: Tensor, last: Tensor, steps: int = 9) -> Path:
    """E[v | z] on the straight line between two configurations' posterior means; (n_visible,) both.

    z_t = (1 - t) E[z | first] + t E[z | last], t from 0 to 1 in equal steps, both ends counted.
    Raises ValueError for fewer than two steps, or a decoder whose sites depend on each other.
    """
    if steps < 2:
        raise ValueError(f"an interpolation needs 2 or more steps, got {steps}")
    ends = model.encode(torch.stack([first, last]).to(model.device)).mean
    t = torch.linspace(0, 1, steps, device=ends.device, dtype=ends.dtype)[:, None]
    return _decoded(model, (1 - t) * ends[0] + t * ends[1])


def _decoded(model: LatentVariableModel, z: Tensor) -> Path:
    if not isinstance(model, FactorisedModel):
        raise ValueError(f"the sites of a {type(model).__name__} depend on each other given z: draw them instead")
    means = model.unit.mean(model.decode(z.to(model.device)))
    return Path(np.asarray(z.double().cpu()), np.asarray(means.double().cpu()))
