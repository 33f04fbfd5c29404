"""Figures from tables and arrays: matplotlib's object-oriented interface only, no global state and no torch.

``table`` is what ``Comparison.table()`` gives and table.json holds. Every function returns a ``Figure``, to be shown in
a notebook, saved, or turned into bytes by ``png``.
"""

from ebmphys.figures.bounds import bounds
from ebmphys.figures.couplings import couplings
from ebmphys.figures.curves import curves, pulls
from ebmphys.figures.densities import correlations, histograms
from ebmphys.figures.history import training
from ebmphys.figures.latents import latent_against, latent_order, latent_plane, strip
from ebmphys.figures.lattices import snapshots
from ebmphys.figures.style import colours, png

__all__ = [
    "bounds",
    "colours",
    "correlations",
    "couplings",
    "curves",
    "histograms",
    "latent_against",
    "latent_order",
    "latent_plane",
    "png",
    "pulls",
    "snapshots",
    "strip",
    "training",
]
