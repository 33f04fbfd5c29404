"""Objectives: a model and a batch of data -> one scalar whose autograd gradient is the training gradient.

An energy's likelihood has an intractable log Z, but its gradient needs only draws of the model:
d/dtheta <-log p(v)>_data = <dF/dtheta>_data - <dF/dtheta>_model. ``TwoPhase`` is that difference, and where its
draws come from is a *negative phase*, of which there may be any number; what hidden units that cannot be summed out
are while the data are held is a *positive phase*.
"""

from ebmphys.objectives.adversarial import Adversarial
from ebmphys.objectives.base import Draws, NegativePhase, Objective, PositivePhase, Stateful
from ebmphys.objectives.conditional import Conditional, SemiSupervised
from ebmphys.objectives.denoising_bound import DenoisingBound
from ebmphys.objectives.elbo import ELBO
from ebmphys.objectives.exact import Exact
from ebmphys.objectives.fast import FastPersistent
from ebmphys.objectives.importance_weighted import ImportanceWeighted
from ebmphys.objectives.maximum_likelihood import MaximumLikelihood
from ebmphys.objectives.penalised import Penalised, two_phase
from ebmphys.objectives.persistent import Persistent
from ebmphys.objectives.positive import Clamped, MeanField
from ebmphys.objectives.pseudo import PseudoLikelihood
from ebmphys.objectives.reconstruction import BitFlip, Masking, Reconstruction
from ebmphys.objectives.short_runs import FromData, RandomStart
from ebmphys.objectives.starts import kept_draws
from ebmphys.objectives.tempered import Tempered
from ebmphys.objectives.trajectory import TrajectoryTempered
from ebmphys.objectives.two_phase import ContrastiveDivergence, TwoPhase
from ebmphys.objectives.variational import VariationalFreeEnergy, variational_free_energy
from ebmphys.objectives.wake_sleep import WakeSleep

__all__ = [
    "ELBO",
    "Adversarial",
    "BitFlip",
    "Clamped",
    "Conditional",
    "ContrastiveDivergence",
    "DenoisingBound",
    "Draws",
    "Exact",
    "FastPersistent",
    "FromData",
    "ImportanceWeighted",
    "Masking",
    "MaximumLikelihood",
    "MeanField",
    "NegativePhase",
    "Objective",
    "Penalised",
    "Persistent",
    "PositivePhase",
    "PseudoLikelihood",
    "RandomStart",
    "Reconstruction",
    "SemiSupervised",
    "Stateful",
    "Tempered",
    "TrajectoryTempered",
    "TwoPhase",
    "VariationalFreeEnergy",
    "WakeSleep",
    "kept_draws",
    "two_phase",
    "variational_free_energy",
]
