"""Protocols: named sets of changes to a config, such as the recipe behind published numbers."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from mdvae.settings.fields import ConfigError

OWN_PROTOCOL = "mdvae"


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
            },
            "optimiser": {"learning_rate": 0.005, "warmup": 0.3},
        }
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
    protocols = values.pop("protocols", None) or {}
    chosen = values.get("protocol", OWN_PROTOCOL)
    choices = (OWN_PROTOCOL, *sorted(protocols))
    if chosen not in choices:
        raise ConfigError(
            f"protocol: {chosen!r} is not usable; it must be one of {', '.join(choices)}"
        )
    changes = protocols.get(chosen, {})
    if not isinstance(changes, Mapping):
        raise ConfigError(
            f"protocols.{chosen}: {changes!r} is not usable; it must map fields to values"
        )
    for path, value in _leaves(changes):
        if ".".join(path) not in overrides:
            place = values
            for name in path[:-1]:
                place[name] = dict(place.get(name) or {})
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
