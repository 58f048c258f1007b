"""Protocols and scales: named sets of changes to a config.

A protocol is a recipe, such as that behind published numbers; a scale is how much of it, such as
how many epochs and seeds a CPU has time for.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from mdvae.settings.fields import ConfigError, shown, unusable

OWN_PROTOCOL = "mdvae"
# Where a config has no scales.
NO_SCALE = ""


def published_protocol() -> Any:
    """The recipe behind the published Tables 1, 3 and 7: one batch is the whole data set."""
    return ConfigDict(
        {
            "steps": 50_000,
            "batch_size": 100_000,
            "method": {"log_gamma_init": 0.0, "kl_warmup": 0.0},
            "networks": {
                "hidden": (16,),
                "decoder_hidden": (),
                "activation": "relu",
                "encoder_input": "raw",
                "output": "linear",
                "skip": False,
            },
            "optimiser": {"learning_rate": 0.005, "warmup": 0.3},
        }
    )


def published_images() -> Any:
    """The recipe behind the published Tables 2, 4 and 9, its evaluation included.

    A model is evaluated on the first 100 test images, by the statistics of that batch.
    """
    return ConfigDict(
        {
            "batch_size": 512,
            "data": {"n_eval": 100, "pixels": "shifted"},
            "method": {"gamma": "adam", "log_gamma_init": 0.0, "kl_warmup": 0.0},
            "networks": {"pooling": "mean", "dense": 32, "evaluation": "batch"},
            "optimiser": {"learning_rate": 0.002, "warmup": 0.3},
        }
    )


def published_sequences() -> Any:
    """The recipe behind the published Table 8: 10,000 epochs of ten batches, never shuffled."""
    return ConfigDict(
        {
            "steps": 100_000,
            "batch_size": 2_000,
            "data": {
                "burn_in": 0,
                "batches": "in_turn",
                "evaluation": "repeated",
                "n_eval": 995,
            },
            "method": {"gamma": "adam", "log_gamma_init": 0.0},
            "networks": {"shared_updates": "twice"},
            "optimiser": {"learning_rate": 0.01, "warmup": 0.3},
        }
    )


def published_critic(batch_size: int = 512) -> Any:
    """The recipe of LMGAE's published code, which is for MNIST alone, and of its WAE.

    Args:
        batch_size: 64 for each of eight updates. WAE has seven of them, so that a batch for both
            must be a multiple of 56.
    """
    return ConfigDict(
        {
            "steps": 500_000,
            "batch_size": batch_size,
            "method": {
                "critic_hidden": (1024, 1024, 1024, 1024),
                "penalty": "two_sided",
                "variance_decay": 10.0,
                "mask_recon": 1000.0,
                "theta_min": 0.0,
                "theta_max": 5.0,
                "mask_rate": 1.0,
                "mask_after": 0.0,
                "polarise": 2.0,
                "polarise_power": 1.0,
                "polarise_every": 0.0,
                "rate_decay": True,
            },
            "networks": {
                "hidden": (1024, 1024, 1024, 1024),
                "initial": "glorot",
                "encoder_input": "raw",
            },
            "optimiser": {"schedule": "constant", "learning_rate": 0.0005},
        }
    )


def image_scales(epochs: int, seeds: int = 1) -> Any:
    """Epochs and seeds for a CPU, and the published schedule with three seeds for a GPU."""
    return ConfigDict(
        {"cpu": {"epochs": epochs, "seeds": seeds}, "gpu": {"epochs": 400, "seeds": 3}}
    )


def apply_protocol(values: dict[str, Any], overrides: Collection[str]) -> None:
    """Makes the changes of the chosen protocol in place, and removes the list of protocols.

    Args:
        values: a config as a dict; `protocol` names one of its `protocols`, or this project's own
            recipe, which changes nothing.
        overrides: dotted names of the fields set on the command line; they win.

    Raises:
        ConfigError: where there is no such protocol.
    """
    _apply(values, overrides, "protocol", OWN_PROTOCOL)


def apply_scale(values: dict[str, Any], overrides: Collection[str]) -> None:
    """As `apply_protocol`, with `scale` one of `scales`; a config without any has none to choose.

    Raises:
        ConfigError: where there is no such scale.
    """
    if values.get("scales"):
        _apply(values, overrides, "scale", None)
        return
    values.pop("scales", None)
    if values.get("scale", NO_SCALE) != NO_SCALE:
        raise ConfigError(
            f"scale: {shown(values['scale'])} has no effect on a config without scales"
        )


def _apply(
    values: dict[str, Any], overrides: Collection[str], field: str, unchanged: str | None
) -> None:
    """Makes the changes that a field chooses by name; `unchanged` is the name of none."""
    named = values.pop(f"{field}s", None) or {}
    if not isinstance(named, Mapping):
        raise ConfigError(f"{field}s: {shown(named)} is not usable; it must map names to changes")
    chosen = values.get(field, unchanged)
    choices = (*([] if unchanged is None else [unchanged]), *sorted(named))
    if chosen not in choices:
        raise ConfigError(
            f"{field}: {shown(chosen)} is not usable; it must be one of {', '.join(choices)}"
        )
    changes = named.get(chosen, {})
    if not isinstance(changes, Mapping):
        raise ConfigError(
            f"{field}s.{chosen}: {shown(changes)} is not usable; it must map fields to values"
        )
    for path, value in _leaves(changes):
        if ".".join(path) not in overrides:
            place = values
            for name in path[:-1]:
                inner = place.get(name) or {}
                if not isinstance(inner, Mapping):
                    raise unusable(name, inner, "a part of a config, which maps fields to values")
                place[name] = dict(inner)
                place = place[name]
            place[path[-1]] = value


def _leaves(tree: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Paths and values of all leaves of nested mappings."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            for path, leaf in _leaves(value):
                yield (name, *path), leaf
        else:
            yield (name,), value
