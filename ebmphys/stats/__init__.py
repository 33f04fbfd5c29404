"""Statistics of Markov-chain series: autocorrelation times, and error bars that cover.

A *series* is anything ``np.asarray`` takes, of shape (draw,) or (draw, chain); jackknife and bootstrap also
take further axes, (draw, chain, ...), for example the distances of a two-point function. Chains are independent
of each other and all sample one law, so that deviations are always taken from the mean over all of them.
"""

from ebmphys.stats.autocorrelation import Tau, autocorrelation, effective_sample_size, tau_int
from ebmphys.stats.binning import Binning, binning
from ebmphys.stats.convergence import split_rhat
from ebmphys.stats.mean import Estimate, independent_mean, mean_with_error
from ebmphys.stats.resampling import bootstrap, jackknife

__all__ = [
    "Binning",
    "Estimate",
    "Tau",
    "autocorrelation",
    "binning",
    "bootstrap",
    "effective_sample_size",
    "independent_mean",
    "jackknife",
    "mean_with_error",
    "split_rhat",
    "tau_int",
]
