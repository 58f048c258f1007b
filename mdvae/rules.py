"""What a single value of a config may be, and the error that says so."""

import difflib
import math
from collections.abc import Collection
from typing import Any

ACTIVATIONS = ("relu", "prelu", "tanh", "softplus", "linear")
ENCODER_INPUTS = ("whitened", "raw")
OUTPUTS = ("sigmoid", "linear")
PRESETS = ("authors", "paper")
DATA = ("manifold", "union", "varying_t")
CONDITIONS = ("identity", "random")
MODELS = ("vae", "cvae")
PRIORS = ("standard", "learned")
SIZE_AXES = ("kappa", "d", "r")


class ConfigError(ValueError):
    """A value that cannot be used; the message is one line: field, value, what would be right."""


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_int(value) or (isinstance(value, float) and math.isfinite(value))


def _positive():
    return (lambda v: _is_int(v) and v >= 1), "a whole number, 1 or more"


def _natural():
    return (lambda v: _is_int(v) and v >= 0), "a whole number, 0 or more"


def _one_of(names: tuple[str, ...]):
    return (lambda v: v in names), "one of " + ", ".join(names)


def _is_fraction(value: Any) -> bool:
    return _is_number(value) and 0 <= value < 1


def _is_sizes(value: Any) -> bool:
    return isinstance(value, tuple) and all(name in SIZE_AXES for name in value)


def _is_hidden(value: Any) -> bool:
    return isinstance(value, tuple) and all(_is_int(width) and width >= 1 for width in value)


RULES = {
    "name": (lambda v: isinstance(v, str) and v != "" and "/" not in v, "a name without '/'"),
    "seeds": _positive(),
    "seed": ((lambda v: _is_int(v) and 0 <= v < 2**31), "a whole number from 0 to 2147483647"),
    "preset": _one_of(PRESETS),
    "data": _one_of(DATA),
    "t": _natural(),
    "condition": _one_of(CONDITIONS),
    "model": _one_of(MODELS),
    "prior": _one_of(PRIORS),
    "attention": ((lambda v: isinstance(v, bool)), "True or False"),
    "attention_hidden": _natural(),
    "n_train": _positive(),
    "n_eval": _positive(),
    "hidden": (_is_hidden, "a tuple of layer widths of 1 or more, such as (64,)"),
    "decoder_hidden": (_is_hidden, "a tuple of layer widths of 1 or more, or () to mirror hidden"),
    "activation": _one_of(ACTIVATIONS),
    "encoder_input": _one_of(ENCODER_INPUTS),
    "output": _one_of(OUTPUTS),
    "log_gamma_init": (_is_number, "a finite number"),
    "log_gamma": (_is_number, "a finite number"),
    "sigma": ((lambda v: _is_number(v) and v >= 0), "a number, 0 or more"),
    "anneal": (_is_fraction, "a fraction, 0 or more and below 1"),
    "kl_warmup": (_is_fraction, "a fraction, 0 or more and below 1"),
    "group_by": (_is_sizes, "a tuple of some of 'kappa', 'd' and 'r', such as ('d',)"),
    "steps": _positive(),
    "batch_size": _positive(),
    "learning_rate": ((lambda v: _is_number(v) and v > 0), "a number above 0"),
    "warmup": ((lambda v: _is_number(v) and 0 < v < 1), "a fraction between 0 and 1"),
    "ad_threshold": ((lambda v: _is_number(v) and 0 < v < 1), "a ratio between 0 and 1"),
    "ad_min_gap": ((lambda v: _is_number(v) and v >= 0), "a number of nats, 0 or more"),
    "log_every": _positive(),
    "save_every": _positive(),
    "memory_gib": ((lambda v: _is_number(v) and v >= 0), "a number of GiB, or 0 to ask the device"),
    "published": (lambda v: isinstance(v, str), "the name of a published table, or ''"),
    "kappa": _positive(),
    "d": _positive(),
    "r": _positive(),
}
FLOATS = (
    "sigma",
    "anneal",
    "kl_warmup",
    "log_gamma_init",
    "log_gamma",
    "learning_rate",
    "warmup",
    "ad_threshold",
    "ad_min_gap",
    "memory_gib",
)


def check(path: str, field: str, value: Any) -> Any:
    """The value as it is to be stored.

    Args:
        path: what the user calls the value, for the message.
        field: whose rule applies.

    Raises:
        ConfigError: where the rule refuses it.
    """
    if isinstance(value, list):
        value = tuple(value)
    accepted, right = RULES[field]
    if not accepted(value):
        raise ConfigError(f"{path}: {value!r} is not usable; it must be {right}")
    return float(value) if field in FLOATS else value


def unknown(path: str, name: str, known: Collection[str]) -> ConfigError:
    """The error for a name that is not one of the known ones."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else "known: " + ", ".join(sorted(known))
    return ConfigError(f"{path}{name}: no such field; {hint}")
