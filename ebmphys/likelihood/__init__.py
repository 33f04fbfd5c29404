"""How likely is it: log Z, log p(v), and the Kullback-Leibler divergence from an exactly known law."""

from ebmphys.likelihood.annealing import LogPartition, ais
from ebmphys.likelihood.divergence import kl_to_exact, log_likelihood
from ebmphys.likelihood.latent import enumerated_log_law, importance_bound, marginal
from ebmphys.likelihood.partition import log_partition

__all__ = [
    "LogPartition",
    "ais",
    "enumerated_log_law",
    "importance_bound",
    "kl_to_exact",
    "log_likelihood",
    "log_partition",
    "marginal",
]
