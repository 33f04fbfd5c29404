"""What gradients go through between ``backward`` and the optimizer's step."""

from torch import nn

from ebmphys.train.gradients.base import Clipped, GradientTransform, restore, stored
from ebmphys.train.gradients.centred import Centred
from ebmphys.train.gradients.natural import NaturalGradient
from ebmphys.train.gradients.pairs import half_spans, pairs_of

__all__ = ["Centred", "Clipped", "GradientTransform", "NaturalGradient", "restore", "stored", "suited_transforms"]


def suited_transforms(model: nn.Module) -> list[GradientTransform]:
    """The transforms that a model learns better with: ``Centred`` for machines with bits or visible Potts units."""
    pairs = pairs_of(model)
    if pairs is None or bool((half_spans(pairs, pairs.biases[0]) == 1).all()):
        return []
    return [Centred()]
