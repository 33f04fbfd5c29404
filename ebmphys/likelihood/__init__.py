"""How likely is it: log Z, log p(v), and the Kullback-Leibler divergence from an exactly known law."""

from ebmphys.likelihood.annealing import ais, clamped_ais
from ebmphys.likelihood.bounds import BoundCurve, bound_curve
from ebmphys.likelihood.bracket import Bracket, bracket, reverse_ais
from ebmphys.likelihood.bridge import bridge
from ebmphys.likelihood.decomposition import Decomposition, kl_decomposition
from ebmphys.likelihood.denoising import flip_channel, flip_posterior
from ebmphys.likelihood.divergence import kl_to_exact, log_likelihood
from ebmphys.likelihood.estimate import LogPartition
from ebmphys.likelihood.ladder import Ladder, bridge_sampling, tempered_ladder, thermodynamic_integration
from ebmphys.likelihood.latent import enumerated_log_law, importance_bound, marginal
from ebmphys.likelihood.neural import NeuralEstimate, neural_importance_sampling
from ebmphys.likelihood.partition import log_partition
from ebmphys.likelihood.products import visible_law
from ebmphys.likelihood.reverse_chain import reverse_chain_law, trajectory_bound

__all__ = [
    "BoundCurve",
    "Bracket",
    "Decomposition",
    "Ladder",
    "LogPartition",
    "NeuralEstimate",
    "ais",
    "bound_curve",
    "bracket",
    "bridge",
    "bridge_sampling",
    "clamped_ais",
    "enumerated_log_law",
    "flip_channel",
    "flip_posterior",
    "importance_bound",
    "kl_decomposition",
    "kl_to_exact",
    "log_likelihood",
    "log_partition",
    "marginal",
    "neural_importance_sampling",
    "reverse_ais",
    "reverse_chain_law",
    "tempered_ladder",
    "thermodynamic_integration",
    "trajectory_bound",
    "visible_law",
]
