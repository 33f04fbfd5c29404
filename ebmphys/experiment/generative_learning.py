"""The settings that say how models without chains learn, and the objectives that they name."""

from __future__ import annotations

import torch
from pydantic import Field, model_validator
from torch import nn

from ebmphys.energies.networks import build_network
from ebmphys.experiment.generative import Generative
from ebmphys.generators import GAN, Autoencoder, BernoulliMixture, BitFlipDiffusion, Diffusion, LatentVariableModel
from ebmphys.objectives import (
    ELBO,
    Adversarial,
    BitFlip,
    DenoisingBound,
    ImportanceWeighted,
    Masking,
    MaximumLikelihood,
    Objective,
    Reconstruction,
)
from ebmphys.train import MixturePosterior, PseudoCounts

_WEIGHTED_DRAWS = 10
_NOISINGS, _NOISINGS_BY_FLIPS = 4, 2  # of a configuration an update
_PENALTY = 1.0


class GenerativeLearning(Generative, group="Learning without chains"):
    """How a model that needs no chains learns."""

    latent_draws: int | None = Field(default=None, ge=1)
    """Draws of the latents for each configuration (vae, cvae; 1, of iwae 10)."""
    beta_kl: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Weight of the ELBO's KL term; other than 1 it bounds no likelihood (vae, cvae)."""
    warm_up: float = Field(default=0.0, ge=0, le=1)
    """The share of --epochs over which that weight rises from 0 (vae, cvae)."""
    free_bits: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Nats of each latent's KL that cost nothing (vae, cvae)."""
    prior_weights: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Prior of a mixture: configurations that each component has seen before."""
    prior_sites: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    """Prior of a mixture: configurations of either value at each site of each component."""
    em_samples: int = Field(default=0, ge=0)
    """Draws of the component for each configuration, Monte Carlo EM (mixture; 0: the exact posterior)."""
    critic_steps: int = Field(default=5, ge=1)
    """Updates of a gan's critic for one of the generator."""

    @model_validator(mode="after")
    def _weighs(self) -> GenerativeLearning:
        weights = sorted(self.model_fields_set & {"beta_kl", "warm_up", "free_bits"})
        if self.objective == "iwae" and weights:
            raise ValueError(f"--{weights[0].replace('_', '-')} is for --objective elbo: iwae has no KL term to weigh")
        return self


def generative_objective(
    settings: GenerativeLearning, model: nn.Module, n_data: int, updates: int, rng: torch.Generator
) -> Objective:
    """What a model learns by from so many configurations in so many updates."""
    if isinstance(model, LatentVariableModel):
        return bound_of(settings, updates, rng)
    if isinstance(model, BernoulliMixture):
        prior = PseudoCounts(settings.prior_weights, settings.prior_sites)
        return MixturePosterior(n_data, prior, settings.em_samples, rng if settings.em_samples else None)
    if isinstance(model, Autoencoder):
        return _reconstruction(settings, model, rng)
    if isinstance(model, Diffusion):
        return DenoisingBound(rng, _NOISINGS_BY_FLIPS if isinstance(model, BitFlipDiffusion) else _NOISINGS)
    if isinstance(model, GAN):
        network = {"kind": "mlp", "hidden": list(settings.critic)}
        critic = build_network(network, model.n_visible, rng, model.device)
        return Adversarial(critic, rng, critic_steps=settings.critic_steps, penalty=_PENALTY)
    return MaximumLikelihood()


def bound_of(settings: GenerativeLearning, updates: int, rng: torch.Generator) -> ELBO | ImportanceWeighted:
    """The bound that a model with latents learns by."""
    if settings.objective == "iwae":
        return ImportanceWeighted(rng, settings.latent_draws or _WEIGHTED_DRAWS)
    warm_up = round(settings.warm_up * updates)
    draws = settings.latent_draws or 1
    return ELBO(rng, draws, beta=settings.beta_kl, warm_up=warm_up, free_bits=settings.free_bits)


def _reconstruction(settings: GenerativeLearning, model: Autoencoder, rng: torch.Generator) -> Objective:
    if settings.model == "ae":
        return Reconstruction()
    kind = Masking if settings.noise == "mask" else BitFlip
    return Reconstruction(kind(model.visible_unit, settings.noise_strength), rng)
