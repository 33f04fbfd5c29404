"""Expectation-maximization for mixtures, as one more way through the one training loop."""

from ebmphys.train.em.fit import MixtureTraining, fit_mixture
from ebmphys.train.em.maximization import ExpectationMaximization
from ebmphys.train.em.posterior import MixturePosterior, PseudoCounts
from ebmphys.train.em.starts import effective_components, empty_components, spread_components

__all__ = [
    "ExpectationMaximization",
    "MixturePosterior",
    "MixtureTraining",
    "PseudoCounts",
    "effective_components",
    "empty_components",
    "fit_mixture",
    "spread_components",
]
