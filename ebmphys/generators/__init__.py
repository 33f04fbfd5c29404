"""Models that draw configurations independently: no chain, no burn-in, no autocorrelation."""

from ebmphys.generators.base import IndependentModel, TractableModel, log_density
from ebmphys.generators.dbn import DeepBeliefNet
from ebmphys.generators.vae import VAE, Bound, Posterior, gaussian_kl, gaussian_kl_per_latent

GENERATORS: dict[str, type[IndependentModel]] = {"vae": VAE, "dbn": DeepBeliefNet}

__all__ = [
    "GENERATORS",
    "VAE",
    "Bound",
    "DeepBeliefNet",
    "IndependentModel",
    "Posterior",
    "TractableModel",
    "gaussian_kl",
    "gaussian_kl_per_latent",
    "log_density",
]
