"""The verbs: one settings class each, and the function that runs it, from Python, TOML and the command line."""

from ebmphys.experiment.benching import Bench, bench
from ebmphys.experiment.comparing import Compare, compare
from ebmphys.experiment.fitting import Fit, fit_model
from ebmphys.experiment.generate import Generate, generate
from ebmphys.experiment.importing import Import, import_files
from ebmphys.experiment.info import Info, info
from ebmphys.experiment.interrupted import after_interruption, stamps
from ebmphys.experiment.known import Exact, exact
from ebmphys.experiment.recipe import Run, run
from ebmphys.experiment.sampling import Sample, sample
from ebmphys.experiment.settings import Settings, complaint

__all__ = [
    "Bench",
    "Compare",
    "Exact",
    "Fit",
    "Generate",
    "Import",
    "Info",
    "Run",
    "Sample",
    "Settings",
    "after_interruption",
    "bench",
    "compare",
    "complaint",
    "exact",
    "fit_model",
    "generate",
    "import_files",
    "info",
    "run",
    "sample",
    "stamps",
]
