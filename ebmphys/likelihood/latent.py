"""log q(v) of latent variable models: the integral over the latents on nodes, and the importance-weighted bound."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ebmphys.exact.enumeration import MOST_SITES, kl_divergence, states
from ebmphys.generators import FactorisedModel, LatentVariableModel
from ebmphys.generators.latent_variable import turned
from ebmphys.likelihood.products import mixture_of_products
from ebmphys.rng import generator

_Model = TypeVar("_Model", bound=nn.Module)

MOST_LATENTS = 2  # on a grid
_REACH = 8.0  # standard deviations of the prior; beyond lies 1e-14 of it
_CHUNK = 2**23  # numbers in one table
_ROWS = 2**12  # at a time through a network
_SPACINGS = (0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625)  # of t, z = sinh t
_RANDOM_NODES = (2**12, 2**14, 2**16)
_WEIGHTS = (8, 24, 96, 384)  # more of each configuration, where nodes that serve all would take too many
_MOST_INTEGRATED = (14, 10)  # sites, by latents, of a conditional whose every pair is a pass through a network
_LAYERS = 16  # numbers a site that a network keeps in its widest layer, about


def marginal(model: LatentVariableModel, v: Tensor, tolerance: float = 1e-4) -> Tensor:
    """log q(v) = log of the integral of N(z; 0, 1) q(v | z), for one or two latents, in nats.

    The trapezoidal rule in t = arcsinh z on |z| <= 8, whose error falls exponentially with the spacing (Trefethen and
    Weideman 2014): when halving the spacing moves no log q(v) by more than ``tolerance``, the error left is far
    below it. RuntimeWarning where the finest grid is too coarse for that. (*batch, n_visible) -> (*batch,), float64.
    Raises ValueError for more latents than two (``importance_bound`` is for those) and where the law is not a number.
    """
    if model.latent > MOST_LATENTS:
        raise ValueError(
            f"log q(v) by quadrature takes up to {MOST_LATENTS} latents and the model has {model.latent}: "
            f"use importance_bound"
        )
    exact, rows = _double(model), v.reshape(-1, model.n_visible).double()
    laws = (_mixture(exact, rows, z, log_w) for z, log_w in _nodes(model.latent, model.device))
    return _refined(laws, _furthest, tolerance).reshape(v.shape[:-1])


@torch.no_grad()
def importance_bound(model: LatentVariableModel, v: Tensor, draws: int, rng: torch.Generator) -> Tensor:
    """IWAE-K, log of the mean of K = ``draws`` importance weights: on average a lower bound of log q(v), in nats.

    It rises with K from the ELBO (K = 1) towards log q(v), slowly where the encoder is poor; never call it a
    likelihood. (*batch, n_visible) -> (*batch,), float64. Burda, Grosse and Salakhutdinov (2016).
    Raises ValueError for draws < 1.
    """
    if draws < 1:
        raise ValueError(f"an importance-weighted bound needs 1 or more draws, got {draws}")
    return _log_total_weight(model, v.reshape(-1, model.n_visible), draws, rng).reshape(v.shape[:-1]) - math.log(draws)


def enumerated_log_law(model: LatentVariableModel, tolerance: float = 1e-3) -> Tensor:
    """log q of every configuration of two-valued sites; -> (2^n_visible,), order of ``states``.

    With a factorised conditional q is a mixture over nodes z of products over sites (``mixture_of_products``),
    normalised. The nodes are those of ``marginal`` for one or two latents; for more, up to 65,536 scrambled Sobol
    points through the normal quantile (Owen 1998), whose error is that of random nodes and goes either way. Of any
    other conditional the nodes of one or two latents where that is affordable (10 sites with two, 14 with one), else
    up to 512 draws of the encoder a configuration, importance-weighted: the sum over configurations scatters around 1,
    and where the encoder is poor the error of KL(p || q) can be many times the tolerance.
    Refined until one law diverges from the next by less than ``tolerance`` nats, RuntimeWarning where none does.
    Raises ValueError for units that are not two-valued, for more than 24 sites, and where the law is not a number.
    """
    if len(model.unit.values) != 2 or model.n_visible > MOST_SITES:
        raise ValueError(f"enumeration needs two-valued units and up to {MOST_SITES} sites, got {model.n_visible}")
    if not isinstance(model, FactorisedModel):
        laws = _integrated_laws(model) if _affordable(model) else _weighted_laws(model)
        return _refined(laws, kl_divergence, tolerance)
    exact = _double(model)
    laws = (mixture_of_products(exact.decode, z, log_w) for z, log_w in _nodes(model.latent, model.device))
    return _refined((_mirrored(law, law.flip(0)) if model.symmetric else law for law in laws), kl_divergence, tolerance)


def _double(model: _Model) -> _Model:
    return deepcopy(model).double().requires_grad_(False)


def _mirrored(law: Tensor, other: Tensor) -> Tensor:
    """log of the mean of a law and of its mirror image."""
    return torch.logaddexp(law, other) - math.log(2)


def _affordable(model: LatentVariableModel) -> bool:
    """Whether the conditional of every configuration can be had at the nodes of a second grid."""
    return model.latent <= MOST_LATENTS and model.n_visible <= _MOST_INTEGRATED[model.latent - 1]


def _integrated_laws(model: LatentVariableModel) -> Iterator[Tensor]:
    """The integral for every configuration, by more and more nodes."""
    exact, every = _double(model), states(model.unit.values, model.n_visible, device=model.device).double()
    for z, log_w in _nodes(model.latent, model.device):
        yield _mixture(exact, every, z, log_w)


def _weighted_laws(model: LatentVariableModel) -> Iterator[Tensor]:
    """log of the mean importance weight of every configuration, of more and more draws."""
    rng = generator(0, "enumerated law", device=model.device)
    every, drawn, total = states(model.unit.values, model.n_visible, device=model.device), 0, None
    for more in _WEIGHTS:
        rows = every.split(_ROWS)
        log_w = torch.cat([_log_total_weight(model, some, more, rng) for some in rows])
        total = log_w if total is None else torch.logaddexp(total, log_w)
        drawn += more
        yield total - math.log(drawn)


def _log_total_weight(model: LatentVariableModel, rows: Tensor, draws: int, rng: torch.Generator) -> Tensor:
    """log of the sum of so many importance weights of each configuration; (n, n_visible) -> (n,), float64."""
    at_once = max(1, _CHUNK // (_LAYERS * model.n_visible * len(rows)))
    total = torch.full((len(rows),), -math.inf, dtype=torch.float64, device=rows.device)
    for start in range(0, draws, at_once):
        shape = (min(at_once, draws - start), len(rows))
        noise = model.noise(math.prod(shape), rng).reshape(*shape, model.latent)
        log_w = model.log_importance_weights(rows, noise).double()
        total = torch.logaddexp(total, log_w.logsumexp(0))
    return total


def _nodes(latent: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Finer and finer nodes with the logarithms of their weights, which sum to 1: (nodes, latent), (nodes,)."""
    for spacing in _SPACINGS if latent <= MOST_LATENTS else ():
        half = math.floor(math.asinh(_REACH) / spacing)
        t = torch.arange(-half, half + 1, dtype=torch.float64, device=device) * spacing
        t = torch.cartesian_prod(*[t] * latent).reshape(-1, latent)
        # z = sinh t: as fine where the prior is, coarser outside, and the rule still converges exponentially.
        z, log_w = t.sinh(), (t.cosh().log() - 0.5 * t.sinh() ** 2).sum(-1)
        near = z.norm(dim=-1) <= _REACH
        yield z[near], torch.log_softmax(log_w[near], 0)
    for count in _RANDOM_NODES if latent > MOST_LATENTS else ():
        points = torch.quasirandom.SobolEngine(latent, scramble=True, seed=0).draw(count, dtype=torch.float64)
        z = torch.special.ndtri(points.clamp(2.0**-32, 1 - 2.0**-32)).to(device)
        yield z, torch.full((count,), -math.log(count), dtype=torch.float64, device=device)


@torch.no_grad()
def _refined(laws: Iterator[Tensor], distance: Callable[[Tensor, Tensor], float], tolerance: float) -> Tensor:
    """The first of finer and finer laws that the last refinement moved by no more than the tolerance."""
    before, moved = None, math.inf
    for now in laws:
        if bool(now.isnan().any()):
            raise ValueError("log q(v) is not a number: check the model's parameters and the data")
        moved = math.inf if before is None else distance(before, now)
        if moved <= tolerance:
            return now
        before = now
    assert before is not None
    warnings.warn(
        f"the integral over the latents still moves by {moved:.1e} nats at its finest (tolerance {tolerance:.1e})",
        RuntimeWarning,
        stacklevel=3,
    )
    return before


def _furthest(before: Tensor, now: Tensor) -> float:
    return float((now - before).abs().max())


def _mixture(model: LatentVariableModel, v: Tensor, z: Tensor, log_w: Tensor) -> Tensor:
    """log sum_z w_z q(v | z); (n, n_visible), (nodes, latent), (nodes,) -> (n,)."""
    total = torch.full((len(v),), -math.inf, dtype=torch.float64, device=v.device)
    width = 1 if isinstance(model, FactorisedModel) else _LAYERS * model.n_visible
    at_once = max(1, _CHUNK // max(len(v) * width, model.n_visible))
    for nodes, weights in zip(z.split(at_once), log_w.split(at_once), strict=True):
        table = _log_conditionals(model, v, nodes) + weights
        total = torch.logaddexp(total, table.logsumexp(-1))
    return total


def _log_conditionals(model: LatentVariableModel, v: Tensor, z: Tensor) -> Tensor:
    """log q(v | z) of every pair, by matrix products where they do; (n, n_visible), (nodes, latent) -> (n, nodes)."""
    if not isinstance(model, FactorisedModel):
        return model.log_conditional(v[:, None], z)
    eta = model.decode(z)
    one = _log_products(model, v, eta)
    return _mirrored(one, _log_products(model, turned(model.unit, v), eta)) if model.symmetric else one


def _log_products(model: FactorisedModel, v: Tensor, eta: Tensor) -> Tensor:
    if len(model.unit.values) == 2:
        return (v > 0).double() @ eta.T - softplus(eta).sum(-1)
    field, precision = eta.unbind(-1)
    return v @ field.T - 0.5 * v**2 @ precision.T - model.unit.log_partition(eta).sum(-1)
