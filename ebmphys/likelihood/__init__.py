"""How likely is it: log Z, log p(v), and the Kullback-Leibler divergence from an exactly known law."""

from ebmphys.likelihood.annealing import ais, clamped_ais
from ebmphys.likelihood.bracket import Bracket, bracket, reverse_ais
from ebmphys.likelihood.bridge import bridge
from ebmphys.likelihood.decomposition import Decomposition, kl_decomposition
from ebmphys.likelihood.divergence import kl_to_exact, log_likelihood
from ebmphys.likelihood.estimate import LogPartition
from ebmphys.likelihood.ladder import Ladder, bridge_sampling, tempered_ladder, thermodynamic_integration
from ebmphys.likelihood.latent import enumerated_log_law, importance_bound, marginal
from ebmphys.likelihood.partition import log_partition
from ebmphys.likelihood.products import visible_law

__all__ = [
    "Bracket",
    "Decomposition",
    "Ladder",
    "LogPartition",
    "ais",
    "bracket",
    "bridge",
    "bridge_sampling",
    "clamped_ais",
    "enumerated_log_law",
    "importance_bound",
    "kl_decomposition",
    "kl_to_exact",
    "log_likelihood",
    "log_partition",
    "marginal",
    "reverse_ais",
    "tempered_ladder",
    "thermodynamic_integration",
    "visible_law",
]
