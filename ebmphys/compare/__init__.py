"""Which sample is like the reference: observables, distances and verdicts, from arrays or from dataset files."""

from ebmphys.compare.comparison import Comparison, compare
from ebmphys.compare.definitions import MEASURES, METHOD, OBSERVABLES
from ebmphys.compare.divergence import Distance, distances, js_divergence, kl_divergence
from ebmphys.compare.ensemble import Ensemble
from ebmphys.compare.from_files import compare_files, training_histories
from ebmphys.compare.histograms import Histogram, Levels, histogram, levels
from ebmphys.compare.measure import Measured, measure
from ebmphys.compare.part import Histograms
from ebmphys.compare.rows import Row, rows_of
from ebmphys.compare.table import write_table
from ebmphys.compare.verdict import ExactKL, HeldBack, Ranked, Verdict

__all__ = [
    "MEASURES",
    "METHOD",
    "OBSERVABLES",
    "Comparison",
    "Distance",
    "Ensemble",
    "ExactKL",
    "HeldBack",
    "Histogram",
    "Histograms",
    "Levels",
    "Measured",
    "Ranked",
    "Row",
    "Verdict",
    "compare",
    "compare_files",
    "distances",
    "histogram",
    "js_divergence",
    "kl_divergence",
    "levels",
    "measure",
    "rows_of",
    "training_histories",
    "write_table",
]
