"""Which flags of ``fit`` are for which models: one that would be ignored is refused."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence, Set
from typing import Any, Literal

ModelName = Literal[
    "bm",
    "rbm",
    "dbm",
    "dbn",
    "neural",
    "ae",
    "dae",
    "vae",
    "cvae",
    "mixture",
    "made",
    "pixelcnn",
    "frontier",
    "diffusion",
    "gan",
]
ObjectiveName = Literal["likelihood", "pseudo-likelihood", "elbo", "iwae", "free-energy"]
MACHINES: tuple[ModelName, ...] = ("bm", "rbm", "dbm", "dbn", "neural")
AUTOREGRESSIVE: tuple[ModelName, ...] = ("made", "pixelcnn", "frontier")

_LATENTS: tuple[ModelName, ...] = ("vae", "cvae")
_CODES: tuple[ModelName, ...] = ("ae", "dae")
_BY_CHAINS = ("negative", "k", "fantasy_chains", "sampler", "gradient", "l1", "l2")

USERS: Mapping[str, Sequence[ModelName]] = {
    **dict.fromkeys(_BY_CHAINS, MACHINES),
    "hidden": (*MACHINES, *_CODES, *_LATENTS, "made", "frontier", "diffusion", "gan"),
    "invariant": ("bm", "rbm", "neural", "mixture", "diffusion", "gan"),
    "learn_sigma": ("rbm", "vae"),
    "positive": ("bm", "dbm"),
    "hidden_unit": ("rbm", "dbm", "dbn"),
    "reach": ("bm", "rbm"),
    "start": ("bm",),
    "pretrain": ("dbm", *_CODES),
    "symmetric": (*_LATENTS, "mixture", *AUTOREGRESSIVE, "diffusion", "gan"),
    "latent": (*_LATENTS, *_CODES),
    **dict.fromkeys(("convolutions", "kernel", "stride", "decoder", "decoder_hidden"), _LATENTS),
    **dict.fromkeys(("latent_draws", "beta_kl", "warm_up", "free_bits"), _LATENTS),
    **dict.fromkeys(("per_site", "full_covariance"), ("vae",)),
    **dict.fromkeys(("components", "prior_weights", "prior_sites", "em_samples"), ("mixture",)),
    **dict.fromkeys(("channels", "blocks"), ("pixelcnn",)),
    "tied": _CODES,
    "noise": ("dae", "diffusion"),
    "noise_strength": ("dae",),
    "diffusion_steps": ("diffusion",),
    **dict.fromkeys(("critic", "critic_steps"), ("gan",)),
}
OBJECTIVES: Mapping[ObjectiveName, Sequence[ModelName]] = {
    "likelihood": ("bm", "rbm", "dbm", "neural", *AUTOREGRESSIVE),
    "pseudo-likelihood": ("bm", "rbm", "neural"),
    "elbo": _LATENTS,
    "iwae": _LATENTS,
    "free-energy": AUTOREGRESSIVE,
}
UNUSED: Mapping[ModelName, Set[str]] = {
    "dbn": {"objective", "gradient", "stop_early"},
    "mixture": {"optimizer", "learning_rate", "schedule"},  # EM has no rate
}


def check_used(model: ModelName, objective: ObjectiveName | None, given: Set[str]) -> None:
    """Raise ValueError where one of the settings ``given`` is of no use to the model."""
    for name in sorted(given):
        users = USERS.get(name, (model,))
        if model not in users:
            raise ValueError(f"--{name.replace('_', '-')} is for {_listed(users)}, not for {model}")
        if name in UNUSED.get(model, ()):
            raise ValueError(f"--{name.replace('_', '-')} is not for {model}")
    if objective is not None and model not in OBJECTIVES[objective]:
        raise ValueError(f"--objective {objective} is for {_listed(OBJECTIVES[objective])}, not for {model}")


def used_settings(settings: Mapping[str, Any], known: Container[str]) -> dict[str, Any]:
    """The settings of a fit that say something of its model: of use to it, given or by default, not yet ``known``."""
    model = settings.get("model")
    return {
        name: value
        for name, value in settings.items()
        if value is not None and name not in known and model in USERS.get(name, (model,))
    }


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
