"""Normal laws of latent variables: an encoder's posterior, and divergences between normal laws in closed form."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Posterior(NamedTuple):
    """The encoder's normal law of the latents given a configuration, as its Cholesky factor makes it from white noise.

    z = mean + sigma (noise + mixing noise) with ``mixing`` strictly lower triangular, (*batch, latent, latent), or None
    for independent latents. ``log_variance`` is log sigma^2, the variance of each latent given those before it; both
    others (*batch, latent).
    """

    mean: Tensor
    log_variance: Tensor
    mixing: Tensor | None = None

    @classmethod
    def from_outputs(cls, outputs: Tensor, latent: int) -> Posterior:
        """From a network's numbers: means, logarithms of variances, and below the diagonal whatever more there are.

        (*batch, 2 latent [+ latent (latent - 1) / 2]) -> three of (*batch, ...).
        """
        mean, log_variance, below = outputs.tensor_split([latent, 2 * latent], dim=-1)
        if not below.shape[-1]:
            return cls(mean, log_variance)
        row, column = torch.tril_indices(latent, latent, -1, device=outputs.device)
        mixing = outputs.new_zeros(*outputs.shape[:-1], latent, latent)
        mixing[..., row, column] = below
        return cls(mean, log_variance, mixing)

    @property
    def covariance(self) -> Tensor:
        """The covariance matrix of the latents; -> (*batch, latent, latent)."""
        factor = torch.diag_embed((0.5 * self.log_variance).exp())
        if self.mixing is not None:
            factor = factor + factor @ self.mixing
        return factor @ factor.mT

    def at(self, noise: Tensor) -> Tensor:
        """The reparametrised sample z; (*more, *batch, latent) -> the same."""
        mixed = noise if self.mixing is None else noise + (self.mixing * noise[..., None, :]).sum(-1)
        return self.mean + (0.5 * self.log_variance).exp() * mixed

    def log_prior_over(self, noise: Tensor) -> Tensor:
        """log of N(z; 0, 1) / posterior(z) at the z of the noise; (*more, *batch, latent) -> (*more, *batch)."""
        return 0.5 * (noise**2 + self.log_variance - self.at(noise) ** 2).sum(-1)

    def kl_per_latent(self) -> Tensor:
        """KL(posterior || N(0, 1)) of each latent given those before it, in nats; they sum to the divergence.

        -> (*batch, latent). The mean over what the latents before may be (chain rule), so never negative.
        """
        kl = gaussian_kl_per_latent(self.mean, self.log_variance)
        if self.mixing is None:
            return kl
        return kl + 0.5 * self.log_variance.exp() * (self.mixing**2).sum(-1)


def gaussian_kl_per_latent(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, sigma^2) || N(0, 1)) = (mean^2 + sigma^2 - 1 - log sigma^2) / 2 of each latent, in nats.

    (*batch, latent) -> (*batch, latent). Near zero over all data: a latent that the model does not use.
    """
    return 0.5 * (mean**2 + log_variance.expm1() - log_variance)


def gaussian_kl(
    mean: Tensor, log_variance: Tensor, other_mean: Tensor | None = None, other_log_variance: Tensor | None = None
) -> Tensor:
    """KL(N(m, diag s^2) || N(m', diag s'^2)) in nats, summed over the last axis; the other law is N(0, 1) unless given.

    sum_i ((m_i - m'_i)^2 / s'_i^2 + s_i^2 / s'_i^2 - 1 - log(s_i^2 / s'_i^2)) / 2; (*batch, d) -> (*batch,).
    """
    if other_mean is not None:
        mean = mean - other_mean
    if other_log_variance is not None:
        # In units of the other law's width the other law is N(0, 1): a divergence does not depend on units.
        mean = mean * (-0.5 * other_log_variance).exp()
        log_variance = log_variance - other_log_variance
    return gaussian_kl_per_latent(mean, log_variance).sum(-1)


def gaussian_kl_full(mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor) -> Tensor:
    """KL(N(m, C) || N(m', C')) in nats of normal laws with any covariances.

    (tr(C'^-1 C) + (m - m')^T C'^-1 (m - m') - d + log det C' - log det C) / 2, through Cholesky factors;
    means (*batch, d), covariances (*batch, d, d) -> (*batch,).
    Raises ValueError for a matrix that is not symmetric and positive definite.
    """
    own, other = _factor(covariance), _factor(other_covariance)
    white = torch.linalg.solve_triangular(other, own, upper=False)
    shift = torch.linalg.solve_triangular(other, (mean - other_mean)[..., None], upper=False)
    log_ratio = (other.diagonal(dim1=-2, dim2=-1).log() - own.diagonal(dim1=-2, dim2=-1).log()).sum(-1)
    return 0.5 * ((white**2).sum((-2, -1)) + (shift**2).sum((-2, -1)) - mean.shape[-1]) + log_ratio


def _factor(covariance: Tensor) -> Tensor:
    factor, info = torch.linalg.cholesky_ex(covariance)
    if bool(info.any()) or not torch.allclose(covariance, covariance.mT):
        raise ValueError("a covariance must be a symmetric and positive definite matrix, got one that is not")
    return factor
