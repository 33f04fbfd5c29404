"""Other parameters for the same law: the zero-sum gauge of Potts weights, and spins for bits."""

from __future__ import annotations

import torch

from ebmphys.energies.rbm import RBM, exchanged
from ebmphys.units import Bit, Potts, Spin, Unit


@torch.no_grad()
def zero_sum_gauge(rbm: RBM) -> RBM:
    """The RBM with the same law whose weights and biases sum to zero over the states of every Potts unit.

    The indicators of a Potts unit's states add up to one, so a part of the weights that is the same for all its states
    is a bias of the other side, and such a part of a bias is a constant of the energy, which is dropped: p(v, h) stays
    as it is, log Z does not. A copy, with biases. Source: Tubiana, Cocco and Monasson (2019).
    """
    return _centred(_centred(rbm))


@torch.no_grad()
def as_spins(rbm: RBM) -> RBM:
    """The RBM with the same law whose bits are +-1 spins, x = (1 + s) / 2, on whichever sides there are bits.

    W becomes W/2 for each such side and what the shift leaves is a bias of the other; a constant of the energy is
    dropped. A copy, with biases.
    """
    spins = _relabelled(rbm, Bit(), Spin(), 0.5, 0.5)
    return _relabelled(spins, Bit(), Spin(), 0.5, 0.5)


@torch.no_grad()
def as_bits(rbm: RBM) -> RBM:
    """The RBM with the same law whose spins are 0/1 bits, s = 2x - 1: the inverse of ``as_spins``."""
    bits = _relabelled(rbm, Spin(), Bit(), 2.0, -1.0)
    return _relabelled(bits, Spin(), Bit(), 2.0, -1.0)


def _centred(rbm: RBM) -> RBM:
    """The visible layer in the zero-sum gauge if it is of Potts units, and the layers exchanged."""
    turned = exchanged(rbm)
    if isinstance(turned.hidden, Potts):
        weights = turned.weights.unflatten(1, (-1, turned.hidden.q))
        common = weights.mean(-1, keepdim=True)
        turned.visible_bias.add_(common.sum((1, 2)))
        weights.sub_(common)
        fields = turned.hidden_bias.unflatten(0, (-1, turned.hidden.q))
        fields.sub_(fields.mean(-1, keepdim=True))
    return turned


def _relabelled(rbm: RBM, old: Unit, new: Unit, scale: float, shift: float) -> RBM:
    """Visible units ``old`` = scale ``new`` + shift, and the layers exchanged."""
    turned = exchanged(rbm)
    if turned.hidden == old:
        turned.hidden = new
        turned.visible_bias.add_(shift * turned.weights.sum(1))
        turned.weights.mul_(scale)
        turned.hidden_bias.mul_(scale)
    return turned
