"""Configurations on disk: one HDF5 file a run, readable after a kill at any moment, and import of other people's.

The file (format ``ebmphys-dataset``, version 1), axes named so that xarray shows them::

    /x              (temperature, draw, chain, site_byte) uint8   two-valued units, one bit a site
                    (temperature, draw, chain, site) float32      Gaussian units
    /energy         (temperature, draw, chain) float64            total energy E of each configuration, without beta
    /magnetization  (temperature, draw, chain) float64            m = sum x / N, signed, per site
    /last/...       two slots of {completed draws, state of the chains and of the random numbers}

Everything is checksummed (fletcher32), and settings, model and provenance are attributes of the file.
"""

from ebmphys.dataset.bits import VALUES, pack, unpack
from ebmphys.dataset.foreign import ForeignData, load_foreign
from ebmphys.dataset.header import FORMAT, VERSION, Header
from ebmphys.dataset.reader import Dataset
from ebmphys.dataset.writer import Writer

__all__ = [
    "FORMAT",
    "VALUES",
    "VERSION",
    "Dataset",
    "ForeignData",
    "Header",
    "Writer",
    "load_foreign",
    "pack",
    "unpack",
]
