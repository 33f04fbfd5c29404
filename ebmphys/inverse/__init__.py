"""Inverse Ising: couplings and fields from configurations."""

from ebmphys.inverse.correlations import Correlations, correlations
from ebmphys.inverse.expansions import bethe, independent_pairs, naive_mean_field, sessak_monasson, tap
from ebmphys.inverse.fit import InverseIsing, all_pairs, relative_error
from ebmphys.inverse.pseudo_likelihood import pseudo_likelihood

__all__ = [
    "Correlations",
    "InverseIsing",
    "all_pairs",
    "bethe",
    "correlations",
    "independent_pairs",
    "naive_mean_field",
    "pseudo_likelihood",
    "relative_error",
    "sessak_monasson",
    "tap",
]
