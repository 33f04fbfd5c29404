"""Which latents a model uses, and how far their law over the data is from the prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtr

from ebmphys.generators import gaussian_kl_per_latent
from ebmphys.latent.encoding import Codes, Real, grouped, groups
from ebmphys.stats import jackknife

ACTIVE = 0.01  # variance of a mean over the data above which a latent counts as used (Burda et al. 2016)
_REACH, _BINS = 8.0, 160  # standard deviations of the prior, and bins within; two more hold the tails


@dataclass(frozen=True)
class LatentUse:
    """How much of each latent is used, (latent,) each.

    ``activity`` A = Var_v E[z | v], active where A > 0.01 (Burda, Grosse and Salakhutdinov 2016), and ``kl``, the mean
    over the data of KL(posterior || prior) in nats, with standard errors. ``warning`` says in words which latents have
    collapsed to the prior; empty where none has.
    """

    activity: Real
    activity_error: Real
    kl: Real
    kl_error: Real
    warning: str

    @property
    def active(self) -> np.ndarray:
        """Whether each latent is in use; (latent,)."""
        return self.activity > ACTIVE

    @property
    def n_active(self) -> int:
        return int(self.active.sum())


@dataclass(frozen=True)
class Aggregate:
    """The aggregate posterior q(z) = <posterior(z | v)>_data of each latent beside its prior N(0, 1), (latent,) each.

    ``mean`` <E[z | v]> and ``variance`` <Var[z | v]> + Var_v E[z | v], 0 and 1 where draws of the prior look like what
    the decoder was trained on. ``kl`` KL(q(z) || N(0, 1)) in nats, and ``information`` = <KL(posterior || prior)> - kl,
    the mutual information of v and that latent (Hoffman and Johnson 2016). Standard errors by jackknife over the rows.
    """

    mean: Real
    mean_error: Real
    variance: Real
    variance_error: Real
    kl: Real
    kl_error: Real
    information: Real
    information_error: Real


def latent_use(codes: Codes) -> LatentUse:
    """Activity and KL of each latent over independent rows of data, collapse warned of in words."""
    first, second = grouped(codes.mean), grouped(codes.mean**2)
    activity = jackknife(lambda a, b: b - a**2, first, second)
    kl = jackknife(lambda k: k, grouped(_kl(codes)))
    return LatentUse(activity.value, activity.error, kl.value, kl.error, _collapse(activity.value > ACTIVE))


def aggregate(codes: Codes) -> Aggregate:
    """The aggregate posterior of each latent against the prior, from independent rows of data.

    The posteriors are normal laws and are averaged as such, with no draws of z. KL between the masses of 162 bins: by
    coarse-graining never above the KL of the densities, and below it by about width^2 / 24 times the mean square slope
    of the log ratio, width 0.1. Of n rows KL is too large by order 1/n, which the jackknife takes off.
    """
    first, second = grouped(codes.mean), grouped(codes.mean**2 + codes.variance)
    masses, kl = _masses(codes), grouped(_kl(codes))
    prior = np.diff(ndtr(_edges()))

    def divergence(mass: Real) -> Real:
        ratio = np.log(np.where(mass > 0, mass, 1.0)) - np.log(prior)
        return (mass * ratio).sum(-1)

    mean = jackknife(lambda a: a, first)
    variance = jackknife(lambda a, b: b - a**2, first, second)
    kl_of_all = jackknife(divergence, masses)
    information = jackknife(lambda k, mass: k - divergence(mass), kl, masses)
    return Aggregate(
        *(mean.value, mean.error, variance.value, variance.error),
        *(kl_of_all.value, kl_of_all.error, information.value, information.error),
    )


def _kl(codes: Codes) -> Real:
    mean, variance = torch.from_numpy(codes.mean), torch.from_numpy(codes.variance)
    kl: Real = gaussian_kl_per_latent(mean, variance.log()).numpy()
    return kl


def _edges() -> Real:
    return np.concatenate([[-np.inf], np.linspace(-_REACH, _REACH, _BINS + 1), [np.inf]])


def _masses(codes: Codes) -> Real:
    """The mean mass of each bin in each group of rows; -> (1, group, latent, bins)."""
    masses = []
    for rows in groups(len(codes.mean)):
        mean, scale = codes.mean[rows, :, None], np.sqrt(codes.variance[rows, :, None])
        masses.append(np.diff(ndtr((_edges() - mean) / scale), axis=-1).mean(axis=0))
    return np.stack(masses)[None]


def _collapse(active: np.ndarray) -> str:
    if active.all():
        return ""
    remedy = "free bits or a warm-up of the KL term keep latents in use, fewer latents may do"
    if not active.any():
        return f"no latent is in use: the posterior is the prior whatever the configuration (collapse); {remedy}"
    idle = ", ".join(str(k) for k in np.flatnonzero(~active))
    return f"{int((~active).sum())} of {len(active)} latents are not in use (number {idle}): {remedy}"
