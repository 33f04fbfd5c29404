"""The objective of models whose likelihood is a closed form."""

from __future__ import annotations

from torch import Tensor, nn

from ebmphys.generators import TractableModel


class MaximumLikelihood:
    """Minus the mean log-likelihood, -<log q(v)>_data, in nats per configuration; (batch, n_visible) -> scalar.

    KL(p || q) up to the entropy of the data. Raises ValueError for a model without an exact likelihood.
    """

    def __call__(self, model: nn.Module, v: Tensor) -> Tensor:
        if not isinstance(model, TractableModel):
            raise ValueError(f"{type(model).__name__} has no exact likelihood: use ELBO or ContrastiveDivergence")
        return -model.log_prob(v).mean()
