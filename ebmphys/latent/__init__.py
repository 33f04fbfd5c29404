"""What the latents of a model know: use and collapse, what they measure, ways through them, and the order they show."""

from ebmphys.latent.encoding import Codes, codes, odd_means
from ebmphys.latent.meaning import Correlations, correlations
from ebmphys.latent.order import OrderCurve, order_curve
from ebmphys.latent.paths import Path, interpolation, traversal
from ebmphys.latent.peak import FiniteSize, Peak, critical_from_sizes, susceptibility_peak
from ebmphys.latent.use import ACTIVE, Aggregate, LatentUse, aggregate, latent_use

__all__ = [
    "ACTIVE",
    "Aggregate",
    "Codes",
    "Correlations",
    "FiniteSize",
    "LatentUse",
    "OrderCurve",
    "Path",
    "Peak",
    "aggregate",
    "codes",
    "correlations",
    "critical_from_sizes",
    "interpolation",
    "latent_use",
    "odd_means",
    "order_curve",
    "susceptibility_peak",
    "traversal",
]
