"""Models with laws far from uniform, and the chi-square test of their draws."""

import numpy as np
import torch
from scipy import stats

from ebmphys.rng import generator


def strong(model, strength=2.0):
    """The model with a law far from uniform and not symmetric, and an encoder of moderate width that suits no law."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            rng = generator(7, "strong", name, device="cpu")
            if name.endswith("bias"):
                parameter += 0.3 * torch.randn(parameter.shape, generator=rng)
            elif name.endswith("weight"):
                parameter *= 0.5 if name.startswith("encoder") else strength
    return model


def chi_square_p(x, log_law):
    """p-value of draws of +-1 spins against a law over all configurations; rare states are put together."""
    numbers = ((x > 0).long() @ (2 ** torch.arange(x.shape[-1] - 1, -1, -1))).numpy()
    expected = log_law.exp().numpy() * len(x)
    observed = np.bincount(numbers, minlength=len(expected))
    rare = expected < 5
    counts = [np.append(c[~rare], c[rare].sum()) for c in (observed, expected)]
    counts = [c[counts[1] > 0] for c in counts]
    return float(stats.chisquare(*counts, sum_check=False).pvalue)
