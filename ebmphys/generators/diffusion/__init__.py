"""Discrete diffusion: noise that is undone step by step, by flips of spins or by uncovering hidden ones."""

from ebmphys.generators.diffusion.absorbing import AbsorbingDiffusion
from ebmphys.generators.diffusion.base import Diffusion
from ebmphys.generators.diffusion.bit_flip import BitFlipDiffusion

__all__ = ["AbsorbingDiffusion", "BitFlipDiffusion", "Diffusion"]
