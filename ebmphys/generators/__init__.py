"""Models that draw configurations independently: no chain, no burn-in, no autocorrelation."""

from ebmphys.generators.autoencoder import Autoencoder, SingleLayer
from ebmphys.generators.autoregressive import MADE, Autoregressive, FrontierNetwork, PixelCNN, Symmetrised
from ebmphys.generators.autoregressive_vae import AutoregressiveVAE
from ebmphys.generators.base import IndependentModel, TractableModel, log_density
from ebmphys.generators.conditional_vae import (
    ConditionalVAE,
    Conditioned,
    ConditionedAutoregressive,
    ConditionedFactorised,
)
from ebmphys.generators.conditions import Label, Number, Temperature
from ebmphys.generators.convolutions import Convolutions
from ebmphys.generators.dbn import DeepBeliefNet
from ebmphys.generators.diffusion import AbsorbingDiffusion, BitFlipDiffusion, Diffusion
from ebmphys.generators.gan import GAN
from ebmphys.generators.gaussian import Posterior, gaussian_kl, gaussian_kl_full, gaussian_kl_per_latent
from ebmphys.generators.latent_variable import Bound, FactorisedModel, LatentVariableModel
from ebmphys.generators.mixture import BernoulliMixture
from ebmphys.generators.vae import VAE

GENERATORS: dict[str, type[IndependentModel]] = {
    "vae": VAE,
    "autoregressive vae": AutoregressiveVAE,
    "cvae": ConditionalVAE,
    "factorised-cvae-at": ConditionedFactorised,
    "autoregressive-cvae-at": ConditionedAutoregressive,
    "dbn": DeepBeliefNet,
    "mixture": BernoulliMixture,
    "made": MADE,
    "frontier": FrontierNetwork,
    "pixelcnn": PixelCNN,
    "symmetrised": Symmetrised,
    "bit-flip-diffusion": BitFlipDiffusion,
    "absorbing-diffusion": AbsorbingDiffusion,
    "gan": GAN,
}
RESTORERS: dict[str, type[Autoencoder]] = {"autoencoder": Autoencoder}  # these restore configurations and draw none

__all__ = [
    "GAN",
    "GENERATORS",
    "MADE",
    "RESTORERS",
    "VAE",
    "AbsorbingDiffusion",
    "Autoencoder",
    "Autoregressive",
    "AutoregressiveVAE",
    "BernoulliMixture",
    "BitFlipDiffusion",
    "Bound",
    "ConditionalVAE",
    "Conditioned",
    "ConditionedAutoregressive",
    "ConditionedFactorised",
    "Convolutions",
    "DeepBeliefNet",
    "Diffusion",
    "FactorisedModel",
    "FrontierNetwork",
    "IndependentModel",
    "Label",
    "LatentVariableModel",
    "Number",
    "PixelCNN",
    "Posterior",
    "SingleLayer",
    "Symmetrised",
    "Temperature",
    "TractableModel",
    "gaussian_kl",
    "gaussian_kl_full",
    "gaussian_kl_per_latent",
    "log_density",
]
