"""Diffusion models small enough to write out: the noise of one site as matrices, and every noisy configuration."""

import math
from itertools import pairwise, product

import numpy as np
import torch

from ebmphys.exact.enumeration import states
from ebmphys.generators import AbsorbingDiffusion, BitFlipDiffusion
from ebmphys.rng import generator

KINDS = (BitFlipDiffusion, AbsorbingDiffusion)


def rng(*path):
    return generator(31, "diffusion", *path, device="cpu")


def spins(n):
    return states((-1.0, 1.0), n, dtype=torch.float64)


def diffusion(kind, n=4, steps=5, hidden=(12,), strength=1.5, **options):
    """A model whose law is far from uniform and has no symmetry by accident, in float64."""
    model = kind(n, steps, {"kind": "mlp", "hidden": list(hidden)}, rng=rng("weights"), device="cpu", **options)
    noise = rng("strength")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= strength
            parameter += 0.2 * torch.randn(parameter.shape, generator=noise)
    return model.double()


def site_kernel(model, t):
    """P(x_t | x_(t-1)) of one site, rows x_(t-1) and columns x_t in the order of the model's symbols."""
    left = model.steps - t + 1
    if len(model.symbols) == 2:  # the correlation goes from left / T to (left - 1) / T
        flip = 1 / (2 * left)
        return np.array([[1 - flip, flip], [flip, 1 - flip]])
    return np.array([[1 - 1 / left, 0, 1 / left], [0, 1 - 1 / left, 1 / left], [0, 0, 1.0]])


def site_law(model, s, t):
    """P(x_t | x_s) of one site: the kernels of the steps between, multiplied."""
    law = np.eye(len(model.symbols))
    for step in range(s + 1, t + 1):
        law = law @ site_kernel(model, step)
    return law


def site_posterior(model, s, t):
    """P(x_s | x_t, x_0) of one site by Bayes' rule; axes (x_0, x_t, x_s), zero where x_t cannot follow x_0."""
    joint = site_law(model, 0, s)[:2, None, :] * site_law(model, s, t).T[None]
    total = joint.sum(-1, keepdims=True)
    return np.divide(joint, total, out=np.zeros_like(joint), where=total > 0)


def guesses(model, x, t):
    """P(x_0i = +1 | x_t) of every site."""
    with torch.no_grad():
        x = torch.as_tensor(x)
        given = (torch.full(x.shape[:-1], t),) if len(model.symbols) == 2 else ()
        return model.logits(x, *given).sigmoid().numpy()


def backward(model, x, t, s):
    """P(x_si | x_t) of every site, from the posterior and the guesses; (n, symbols)."""
    upper, posterior = guesses(model, x, t), site_posterior(model, s, t)
    places = [model.symbols.index(value) for value in x]
    rows = []
    for place, p in zip(places, upper, strict=True):
        seen = len(model.symbols) == 3 and place < 2
        rows.append(posterior[place, place] if seen else (1 - p) * posterior[0, place] + p * posterior[1, place])
    return np.array(rows)


def every(model):
    return np.array(list(product(model.symbols, repeat=model.n_visible)))


def brute_law(model, times):
    """The law of x_0 after the steps between these times, by whole matrices between all configurations."""
    configurations = every(model)
    places = np.array([[model.symbols.index(value) for value in x] for x in configurations])
    start = (configurations == 0 if len(model.symbols) == 3 else configurations != 0).all(-1)
    law = start / start.sum()
    for t, s in pairwise(times):
        kernel = np.ones((len(configurations), len(configurations)))
        for row, x in zip(kernel, configurations, strict=True):
            local = backward(model, x, t, s)
            for site, symbol in enumerate(places.T):
                row *= local[site][symbol]
        law = law @ kernel
    return law[(configurations != 0).all(-1)]


def noisings(model, v, t):
    """(probability, x_t, the uniforms that make it of v) of every x_t that v can become."""
    kept = (1 + (1 - t / model.steps)) / 2 if len(model.symbols) == 2 else 1 - t / model.steps
    for keep in product((True, False), repeat=model.n_visible):
        keep = np.array(keep)
        if kept == 0 and keep.any():
            continue
        x = np.where(keep, v, -v if len(model.symbols) == 2 else 0.0)
        # Flips keep what is below the threshold; what is hidden is below its own.
        low = keep if len(model.symbols) == 2 else ~keep
        yield math.prod(np.where(keep, kept, 1 - kept)), x, np.where(low, 0.0, 1 - 2.0**-24)


def divergence(model, v, x, t):
    """KL(p(x_(t-1) | x_t, v) || q(x_(t-1) | x_t)) by summing over the symbols of every site."""
    q, posterior, total = backward(model, x, t, t - 1), site_posterior(model, t - 1, t), 0.0
    for site in range(model.n_visible):
        p = posterior[model.symbols.index(v[site]), model.symbols.index(x[site])]
        there = p > 0
        total += (p[there] * np.log(p[there] / q[site][there])).sum()
    return total
