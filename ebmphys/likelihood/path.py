"""The laws on the way from independent units to a model."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from ebmphys.energies import EnergyModel
from ebmphys.exact.thermodynamics import check_beta
from ebmphys.rng import uniforms
from ebmphys.units import no_field


class Path:
    """p_t(x) ~ f_t(x) = exp(-t beta E(x) - (1 - t) E_0(x)), t = 0..1, E_0 the energy of free units.

    The visible units of E_0 may be given local fields ``base``, (n_visible,), or (n_visible, q) for units of q states;
    hidden ones have none. All in float64, whatever the model is in: weights add up many small differences of large
    numbers. Hidden units that do not act on each other and have finitely many values are summed out of ``log_weight``.
    With ``clamp`` the visible sites stay as they are and E_0 is that of the hidden ones alone: the laws of h given v.
    Raises ValueError for a base that does not fit, a beta that is negative or not finite, and where model and
    generator are on different devices.
    """

    def __init__(
        self, model: EnergyModel, beta: float, base: Tensor | None, rng: torch.Generator, *, clamp: bool = False
    ) -> None:
        if model.device.type != rng.device.type:
            raise ValueError(
                f"the model is on {model.device.type} and the generator on {rng.device.type}: make both on one"
            )
        self.model, self.beta, self.rng = deepcopy(model).double().requires_grad_(False), check_beta(beta), rng
        self.fields = _base_fields(self.model, base)
        self.natural = {name: self.model.units[name].natural(field) for name, field in self.fields.items()}
        hidden = model.hidden_blocks
        self.free = hidden if clamp else tuple(model.blocks)
        self.log_base, self.log_hidden = self._leftover(self.free), self._leftover(hidden)
        finite = bool(hidden) and all(model.units[name].values for name in hidden)
        self.summed = finite and model.sums_out_hidden and not clamp

    def start(self, *batch: int) -> Tensor:
        """Independent draws of p_0; -> (*batch, n_sites)."""
        x = torch.zeros(*batch, self.model.n_sites, dtype=torch.float64, device=self.model.device)
        for name, sites in self.model.blocks.items():
            eta = self.natural[name].expand(*batch, *self.natural[name].shape)
            x[..., sites] = self.model.units[name].draw(eta, uniforms(x[..., sites].shape, self.rng))
        return x

    def gain(self, x: Tensor) -> Tensor:
        """d log f_t(x) / dt = E_0(x) - beta E(x), of all sites; (*batch, n_sites) -> (*batch,)."""
        return self._base_energy(x) - self.beta * self.model.energy(x)

    def log_weight(self, x: Tensor, t: float) -> Tensor:
        """log f_t(x), hidden units summed out where they can be; (*batch, n_sites) -> (*batch,)."""
        if not self.summed:
            return t * self.gain(x) - self._base_energy(x)
        v, heat = x[..., : self.model.n_visible], t * self.beta
        # At zero heat F_beta diverges while beta F_beta does not: every hidden state counts once.
        warm = -heat * self.model.free_energy(v, heat) if heat > 0 else self.log_hidden
        return warm - (1 - t) * self._base_energy(x, self.model.visible_blocks)

    def sweep(self, x: Tensor, t: Tensor | float, *, reverse: bool = False) -> None:
        """One heat-bath sweep of p_t in place, or one that undoes it in law; t broadcasts to the batch.

        Hidden units come first wherever they are summed out: then the visible ones are a Markov chain of their own.
        """
        for name in self._order(reverse):
            self._draw(x, name, t)

    def draw_hidden(self, x: Tensor) -> None:
        """Draw the one block of hidden units given the visible ones, from the model, in place."""
        for name in self.model.hidden_blocks:
            self._draw(x, name, 1.0)

    def _draw(self, x: Tensor, name: str, t: Tensor | float) -> None:
        sites, unit = self.model.blocks[name], self.model.units[name]
        eta = self.model.conditional(x, name)
        share = torch.as_tensor(t, dtype=x.dtype, device=x.device)
        share = share.reshape(share.shape + (1,) * (eta.ndim - x.ndim + 1))
        mixed = share * self.beta * eta + (1 - share) * self.natural[name]
        x[..., sites] = unit.draw(mixed, uniforms(x[..., sites].shape, self.rng))

    def _leftover(self, blocks: tuple[str, ...]) -> float:
        """log of the sum over some blocks' values of exp(-E_0)."""
        return sum(float(self.model.units[name].log_partition(self.natural[name]).sum()) for name in blocks)

    def _order(self, reverse: bool) -> list[str]:
        first = [*self.model.hidden_blocks] if self.summed else []
        rest = [name for name in self.free if name not in first]
        return first + (rest[::-1] if reverse else rest)

    def _base_energy(self, x: Tensor, blocks: tuple[str, ...] | None = None) -> Tensor:
        """E_0 of some blocks, all that move unless told; (*batch, n_sites) -> (*batch,)."""
        total = x.new_zeros(x.shape[:-1])
        for name in self.free if blocks is None else blocks:
            own, unit = x[..., self.model.blocks[name]], self.model.units[name]
            work = unit.statistics(own) * self.fields[name]
            total = total + unit.energy(own).sum(-1) - work.flatten(x.ndim - 1).sum(-1)
        return total


def _base_fields(model: EnergyModel, base: Tensor | None) -> dict[str, Tensor]:
    """The local fields of the base on each block's sites, zero where none are given."""
    zeros = torch.zeros(model.n_sites, dtype=torch.float64, device=model.device)
    fields = {name: no_field(model.units[name], zeros[sites]) for name, sites in model.blocks.items()}
    if base is None:
        return fields
    every = no_field(model.visible_unit, zeros)
    if base.shape != every[: model.n_visible].shape:
        each = "one field" if every.ndim == 1 else f"{every.shape[1]} fields"
        raise ValueError(f"base needs {each} a visible site ({model.n_visible}), got shape {tuple(base.shape)}")
    every[: model.n_visible] = base
    return fields | {name: every[model.blocks[name]] for name in model.visible_blocks}
