"""The conditional variational autoencoder: configurations given a temperature, a field or a label."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from ebmphys.generators.autoregressive_vae import MaskedDecoder
from ebmphys.generators.base import IndependentModel, log_density
from ebmphys.generators.conditional_networks import ConditionalPrior, Reader, joined
from ebmphys.generators.conditions import Condition, Label, build_condition, condition_config
from ebmphys.generators.convolutions import Convolutions, writer
from ebmphys.generators.gaussian import Posterior
from ebmphys.generators.latent_variable import FactorisedModel, LatentVariableModel
from ebmphys.rng import default_device, generator, uniforms
from ebmphys.units import Spin, Unit, build_unit, unit_config


class ConditionalVAE(IndependentModel):
    """q(v | c) = integral of p(z | c) q(v | z, c) dz: encoder and decoder are both told the ``conditions`` c.

    p(z | c) = N(mu(c), sigma^2(c)) is learned, so that latents can be about the same thing at every c and yet have
    the law there that configurations give them; without ``learned_prior`` it is N(0, 1). ``at(c)`` is the law at
    one c, a ``LatentVariableModel`` that shares the parameters. Rows of data are configurations with their
    conditions as the last columns, in the order of ``conditions``. ``hidden`` and ``convolutions`` as in ``VAE``,
    the conditions joining where the convolutions end; with ``decoder_hidden`` the decoder is the autoregressive one
    of ``AutoregressiveVAE``. With ``classifier`` a network of the same sizes gives the probability of each kind of
    the one label from the configuration, so that labels may be unknown, NaN, in part of the data
    (``SemiSupervised``). ``symmetric`` makes q(-v | c) = q(v | c), wrong for a field.
    Sohn, Lee and Yan (2015); with a classifier model M2 of Kingma, Rezende, Mohamed and Welling (2014).
    Raises ValueError for sizes below 1, no conditions, units that are not two-valued, a lattice without the model's
    sites, or a classifier without just one label.
    """

    def __init__(
        self,
        n_visible: int,
        conditions: Sequence[Condition],
        hidden: Sequence[int] = (128, 128),
        latent: int = 2,
        unit: Unit | None = None,
        *,
        convolutions: Convolutions | None = None,
        decoder_hidden: Sequence[int] | None = None,
        classifier: bool = False,
        symmetric: bool = False,
        learned_prior: bool = True,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.n_visible, self.hidden, self.latent = n_visible, tuple(hidden), latent
        self.conditions = tuple(conditions)
        self.unit = Spin() if unit is None else unit
        self.convolutions, self.symmetric = convolutions, symmetric
        self.decoder_hidden = None if decoder_hidden is None else tuple(decoder_hidden)
        self._check(classifier)
        place = default_device() if device is None else torch.device(device)
        stream = generator(0, "cvae", "weights", device="cpu") if rng is None else rng
        width = sum(condition.width for condition in self.conditions)
        self.encoder = Reader(n_visible, width, self.hidden, 2 * latent, convolutions, stream, place)
        if self.decoder_hidden is None:
            self.decoder = writer(latent + width, self.hidden, n_visible, convolutions, stream, place)
        else:
            self.decoder = MaskedDecoder(n_visible, self.decoder_hidden, latent + width, stream, place)
        self.prior = ConditionalPrior(width, latent, stream, place) if learned_prior else None
        self.classifier: Reader | None = None
        if classifier:
            kinds = self.label[1].n
            self.classifier = Reader(n_visible, width - kinds, self.hidden, kinds, convolutions, stream, place)

    def _check(self, classifier: bool) -> None:
        if min(self.n_visible, self.latent, *self.hidden, *(self.decoder_hidden or ())) < 1:
            raise ValueError(
                f"sizes must be 1 or more, got {self.n_visible} sites, hidden {self.hidden}, {self.latent} latents"
            )
        if not self.conditions:
            raise ValueError("a conditional VAE needs a condition, such as Temperature(1.5, 3.5): without one take VAE")
        if len(self.unit.values) != 2:
            raise ValueError(f"a conditional VAE has two-valued visible units, got {self.unit.name}")
        if self.convolutions is not None and prod(self.convolutions.shape) != self.n_visible:
            raise ValueError(f"a lattice of shape {self.convolutions.shape} has not {self.n_visible} sites")
        if self.decoder_hidden == ():
            raise ValueError("an autoregressive decoder needs 1 or more hidden layers")
        if classifier and sum(isinstance(condition, Label) for condition in self.conditions) != 1:
            raise ValueError("a classifier is for one label among the conditions: continuous ones must all be known")

    @property
    def visible_unit(self) -> Unit:
        return self.unit

    @property
    def config(self) -> dict[str, Any]:
        return {
            "model": "cvae",
            "n_visible": self.n_visible,
            "conditions": [condition_config(condition) for condition in self.conditions],
            "hidden": list(self.hidden),
            "latent": self.latent,
            "unit": unit_config(self.unit),
            "convolutions": None if self.convolutions is None else self.convolutions.config,
            "decoder_hidden": None if self.decoder_hidden is None else list(self.decoder_hidden),
            "classifier": self.classifier is not None,
            "symmetric": self.symmetric,
            "learned_prior": self.prior is not None,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ConditionalVAE:
        # Files from before priors were learned do not say that theirs was not.
        options = {"learned_prior": False} | {name: value for name, value in config.items() if name != "model"}
        options["unit"] = build_unit(config["unit"])
        options["conditions"] = [build_condition(condition) for condition in config["conditions"]]
        if config["convolutions"] is not None:
            options["convolutions"] = Convolutions(**config["convolutions"])
        return cls(**options)

    @property
    def n_columns(self) -> int:
        """Numbers in a row of data: the sites and the conditions."""
        return self.n_visible + len(self.conditions)

    @property
    def label(self) -> tuple[int, Label]:
        """Which of the conditions the label is, and the label. Raises ValueError where there is none."""
        for place, condition in enumerate(self.conditions):
            if isinstance(condition, Label):
                return place, condition
        raise ValueError("none of the conditions is a label")

    def at(self, c: float | Sequence[float] | Tensor) -> Conditioned:
        """The law of configurations given c; the parameters are this model's own.

        One c, (conditions,) or a number where there is one condition, or one for each row, (batch, conditions), which
        then serves batches of that many rows. RuntimeWarning for a single c outside the range that was trained on.
        Raises ValueError for values that a condition cannot have, an unknown label among them.
        """
        given = torch.as_tensor(c, dtype=torch.float64, device=self.device)
        given = given.reshape(1) if given.ndim == 0 else given
        if given.ndim > 2 or given.shape[-1] != len(self.conditions):
            raise ValueError(f"the model has {len(self.conditions)} conditions, got shape {tuple(given.shape)}")
        for condition, column in zip(self.conditions, given.unbind(-1), strict=True):
            if not bool(condition.allowed(column).all()):
                raise ValueError(f"a {condition.name} cannot be {column[~condition.allowed(column)].tolist()[0]:g}")
            if given.ndim == 1 and not condition.within(float(column)):
                warnings.warn(
                    f"a {condition.name} of {float(column):g} is outside the range of the training, {condition}",
                    RuntimeWarning,
                    stacklevel=2,
                )
        kind = ConditionedFactorised if self.decoder_hidden is None else ConditionedAutoregressive
        return kind(self, given)

    def features(self, c: Tensor) -> Tensor:
        """What the networks are shown of the conditions; (*batch, conditions) -> (*batch, numbers), c's type."""
        pairs = zip(self.conditions, c.unbind(-1), strict=True)
        return torch.cat([condition.features(column) for condition, column in pairs], -1)

    def log_labels(self, v: Tensor, c: Tensor) -> Tensor:
        """The classifier's log-probability of each kind of label.

        (batch, n_visible), (batch, conditions) -> (batch, kinds). The label's own column in c is
        not read. Raises ValueError for a model without a classifier.
        """
        if self.classifier is None:
            raise ValueError("the model has no classifier: make it with classifier=True")
        place, label = self.label
        others = c.double().index_fill(-1, torch.tensor([place], device=c.device), 0.0)
        shown = self.at(others)
        start = sum(condition.width for condition in self.conditions[:place])
        rest = torch.cat([shown.condition[..., :start], shown.condition[..., start + label.n :]], -1)
        return torch.log_softmax(self.classifier(shown.features(v), rest), -1)

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """n configurations, each at conditions of its own, uniform over their ranges; -> (n, n_visible).

        Their law is q(v | c) averaged over c: for draws at one temperature ``model.at(T).draw``.
        """
        self.check_draws(n, rng)
        u = uniforms((n, len(self.conditions)), rng).double().unbind(-1)
        return self.at(torch.stack([k.draw(x) for k, x in zip(self.conditions, u, strict=True)], -1)).draw(n, rng)

    def check_rows(self, rows: Tensor) -> None:
        """Raise ValueError unless these are rows of finite configurations with conditions in the ranges given.

        (n, n_visible + conditions). A label may be NaN, unknown, where the model has a classifier.
        """
        if rows.ndim != 2 or rows.shape[-1] != self.n_columns or not len(rows):
            raise ValueError(
                f"data must be rows of {self.n_visible} visible sites and {len(self.conditions)} conditions, "
                f"got shape {tuple(rows.shape)}"
            )
        if not bool(rows[:, : self.n_visible].isfinite().all()):
            raise ValueError("data hold numbers that are not finite")
        for condition, column in zip(self.conditions, rows[:, self.n_visible :].unbind(-1), strict=True):
            known = column
            if isinstance(condition, Label) and self.classifier is not None:
                known = column[~column.isnan()]
            if not bool(condition.allowed(known).all()):
                raise ValueError(
                    f"the data hold a {condition.name} that cannot be: unknown ones, NaN, are for labels of a model "
                    f"with a classifier"
                )


class Conditioned(LatentVariableModel):
    """q(v | c) of a conditional VAE with c held: one c for all, or one for each row of a batch.

    Latents are standard normal numbers, those of a learned prior minus its mean in units of its sigma at c. The
    parameters are the conditional model's: training one trains the other.
    """

    kind: ClassVar[str]
    condition: Tensor

    def __init__(self, model: ConditionalVAE, given: Tensor) -> None:
        super().__init__()
        self.model, self.given = model, given
        self.n_visible, self.latent = model.n_visible, model.latent
        self.unit, self.symmetric = model.unit, model.symmetric
        # In double up to here: near the ends of a range beta must not lose digits.
        condition = model.features(given).to(next(model.parameters()).dtype)
        self.register_buffer("condition", condition, persistent=False)

    @property
    def visible_unit(self) -> Unit:
        return self.unit

    @property
    def config(self) -> dict[str, Any]:
        return {"model": self.kind, "of": self.model.config, "given": self.given.tolist()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Conditioned:
        return ConditionalVAE.from_config(config["of"]).at(config["given"])

    def encode(self, v: Tensor) -> Posterior:
        posterior = Posterior.from_outputs(self.model.encoder(self.features(v), self.condition), self.latent)
        return posterior if self.model.prior is None else self.model.prior.whiten(posterior, self.condition)

    def told(self, z: Tensor) -> Tensor:
        """What a decoder is shown: latents, of standard normal ones those of the prior at c, and c beside them."""
        return joined(z if self.model.prior is None else self.model.prior.colour(z, self.condition), self.condition)


class ConditionedFactorised(Conditioned, FactorisedModel):
    """``Conditioned`` with sites that are independent given z and c."""

    kind = "factorised-cvae-at"

    def decode(self, z: Tensor) -> Tensor:
        output: Tensor = self.model.decoder(self.told(z))
        return output


class ConditionedAutoregressive(Conditioned):
    """``Conditioned`` with an autoregressive decoder, to which z and c are one row of numbers."""

    kind = "autoregressive-cvae-at"

    def log_given(self, v: Tensor, z: Tensor) -> Tensor:
        x = (v > 0).to(z.dtype) * 2 - 1
        return log_density(self.unit, v, self.model.decoder(x, self.told(z))).sum(-1)

    def draw_given(self, z: Tensor, rng: torch.Generator, threshold: bool = False) -> Tensor:
        u = torch.full((len(z), self.n_visible), 0.5, device=z.device)
        decoder = cast(MaskedDecoder, self.model.decoder)
        x = decoder.drawn(self.told(z), u if threshold else uniforms(u.shape, rng))
        lower, upper = self.unit.values
        return torch.where(x > 0, upper, lower)
