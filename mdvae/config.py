"""What a sweep is asked to do: defaults, protocols and the one place where values are checked.

A config file returns an `ml_collections.ConfigDict` (usually `default_config()` with changes).
`resolve` turns it, once, into a frozen `SweepConfig`; nothing after that point sees a ConfigDict.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from ml_collections import ConfigDict

from mdvae.rules import ConfigError, check, unknown

# Axes of a grid. The first kind are numbers that may differ between runs of one program; the
# second change the program itself, so that each of their values makes a group of its own.
NUMBER_AXES = (
    "kappa",
    "d",
    "r",
    "t",
    "sigma",
    "log_gamma_init",
    "log_gamma",
    "anneal",
    "kl_warmup",
    "learning_rate",
)
STATIC_AXES = (
    "data",
    "condition",
    "model",
    "prior",
    "attention",
    "attention_hidden",
    "hidden",
    "decoder_hidden",
    "activation",
    "encoder_input",
    "output",
    "batch_size",
)
REQUIRED_AXES = ("kappa", "d", "r")

OWN_PROTOCOL = "mdvae"


Axes = dict[str, tuple[Any, ...]]


@dataclasses.dataclass(frozen=True)
class SweepConfig:
    """Everything that decides the numbers of a sweep, checked.

    Attributes:
        name: of the config; also of its default run directory.
        protocol: "mdvae" for this project's recipe, or one of the config's published ones.
        grids: named products of axes; their union is the sweep.
        seeds, seed: how many seeds, and the first of them.
        preset: law of the synthetic data, "authors" or "paper".
        data: "manifold", one of dimension r; "union", of r manifolds of dimensions 1 to r, with
            the class as condition; "varying_t", one manifold whose condition tells 2, 4, ..., t of
            its coordinates, from sample to sample.
        t: effective dimension of the condition (its width), of a manifold or at most.
        condition: of a manifold: "identity", c = u_{1:t}, or "random", a random linear map of it.
        model: "vae", which ignores the condition, or "cvae".
        prior: of a CVAE: "standard", N(0, I), or "learned", p(z | c).
        attention: whether a CVAE's decoder weighs z by sigmoids of an MLP of c.
        attention_hidden: width of that MLP; 0 takes that of the encoder's first hidden layer.
        n_train, n_eval: training samples, and fresh evaluation samples, of each run.
        hidden, decoder_hidden: hidden layers of the encoder, from x to z, and of the decoder, from
            z to x; an empty decoder_hidden mirrors hidden.
        activation, output: of all hidden layers, and of the decoder.
        encoder_input: "whitened" feeds the encoder training data of zero mean and unit covariance
            (see `data.whitening`), "raw" feeds it x; the decoder always models x.
        sigma: standard deviation of normal noise added to x, off the manifold.
        log_gamma_init: initial value of the decoder's learned log variance.
        anneal: where log gamma is held, the fraction of the steps in which it moves linearly from
            log_gamma_init to its level; 0 holds it there from the start.
        kl_warmup: fraction of the steps in which the weight of the KL rises from 0 to 1.
        steps, batch_size, learning_rate, warmup: of Adam under a one-cycle cosine schedule;
            its peak `learning_rate` is reached after the fraction `warmup` of the steps.
        ad_threshold: the paper's rule calls a dimension active below this variance ratio.
        ad_min_gap: least gap between sorted log ratios (nats) that counts as a gap.
        group_by: sizes (of kappa, d, r) whose every value gets a program of its own, where
            padding to the largest would waste more than compiling again.
        log_every, save_every: steps between lines of metrics, and between checkpoints.
        memory_gib: what one device may use; 0 asks the device.
        published: name of the table of published numbers to compare with, or "".
    """

    name: str
    protocol: str
    grids: dict[str, Axes]
    seeds: int
    seed: int
    preset: str
    data: str
    t: int
    condition: str
    model: str
    prior: str
    attention: bool
    attention_hidden: int
    n_train: int
    n_eval: int
    hidden: tuple[int, ...]
    decoder_hidden: tuple[int, ...]
    activation: str
    encoder_input: str
    output: str
    sigma: float
    log_gamma_init: float
    anneal: float
    kl_warmup: float
    steps: int
    batch_size: int
    learning_rate: float
    warmup: float
    ad_threshold: float
    ad_min_gap: float
    group_by: tuple[str, ...]
    log_every: int
    save_every: int
    memory_gib: float
    published: str

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values; `from_json` is its inverse."""
        return dataclasses.asdict(self)


def default_config() -> Any:
    """A ConfigDict of this project's recipe with an empty grid: what a config file starts from."""
    return ConfigDict(
        {
            "name": "sweep",
            "protocol": OWN_PROTOCOL,
            "protocols": {},
            "grid": {"kappa": (), "d": (), "r": ()},
            "seeds": 5,
            "seed": 0,
            "preset": "authors",
            "data": "manifold",
            "t": 0,
            "condition": "identity",
            "model": "vae",
            "prior": "standard",
            "attention": False,
            "attention_hidden": 0,
            "n_train": 100_000,
            "n_eval": 10_000,
            "hidden": (64,),
            "decoder_hidden": (),
            "activation": "relu",
            "encoder_input": "whitened",
            "output": "sigmoid",
            "sigma": 0.0,
            "log_gamma_init": 0.0,
            "anneal": 0.0,
            "kl_warmup": 0.0,
            "steps": 50_000,
            "batch_size": 1_000,
            "learning_rate": 0.005,
            "warmup": 0.3,
            "ad_threshold": 0.05,
            "ad_min_gap": 1.0,
            "group_by": (),
            "log_every": 500,
            "save_every": 5_000,
            "memory_gib": 0.0,
            "published": "",
        }
    )


def published_protocol() -> Any:
    """The recipe behind the published Tables 1, 3 and 7: one batch is the whole data set."""
    return ConfigDict(
        {
            "hidden": (16,),
            "decoder_hidden": (),
            "activation": "relu",
            "encoder_input": "raw",
            "output": "linear",
            "log_gamma_init": 0.0,
            "kl_warmup": 0.0,
            "steps": 50_000,
            "batch_size": 100_000,
            "learning_rate": 0.005,
            "warmup": 0.3,
        }
    )


def _axes(path: str, axes: Mapping[str, Any]) -> Axes:
    known = NUMBER_AXES + STATIC_AXES
    checked: Axes = {}
    for axis, values in axes.items():
        if axis not in known:
            raise unknown(f"{path}.", axis, known)
        if isinstance(values, list):
            values = tuple(values)
        if not isinstance(values, tuple) or not values:
            raise ConfigError(
                f"{path}.{axis}: {values!r} is not usable; it must be a tuple with at least one"
                " value, such as (20,)"
            )
        values = tuple(check(f"{path}.{axis}", axis, value) for value in values)
        if len(set(values)) < len(values):
            raise ConfigError(f"{path}.{axis}: {values!r} repeats a value; each may stand once")
        checked[axis] = values
    for axis in REQUIRED_AXES:
        if axis not in checked:
            raise ConfigError(f"{path}.{axis}: missing; give at least one value, such as (20,)")
    # A ConfigDict sorts its keys; cells are to come by kappa, then d, then r, then the rest.
    return {axis: checked[axis] for axis in known if axis in checked}


def _grids(grid: Mapping[str, Any]) -> dict[str, Axes]:
    if not isinstance(grid, Mapping):
        raise ConfigError(f"grid: {grid!r} is not usable; it must map axes to tuples of values")
    if not grid:
        raise ConfigError("grid: is empty; give at least kappa, d and r")
    if all(isinstance(axes, Mapping) for axes in grid.values()):
        return {name: _axes(f"grid.{name}", axes) for name, axes in grid.items()}
    return {"": _axes("grid", grid)}


def _apply_protocol(values: dict[str, Any], overrides: Collection[str]) -> None:
    protocols = values.pop("protocols", {})
    protocol = values.get("protocol")
    choices = (OWN_PROTOCOL, *sorted(protocols))
    if protocol not in choices:
        raise ConfigError(
            f"protocol: {protocol!r} is not usable; it must be one of {', '.join(choices)}"
        )
    for field, value in protocols.get(protocol, {}).items():
        if field not in overrides:
            values[field] = value


def resolve(config: ConfigDict | Mapping[str, Any], overrides: Collection[str] = ()) -> SweepConfig:
    """Checks a config and fills in its protocol.

    Args:
        config: what a config file's `get_config` returned, after command-line overrides.
        overrides: names of the fields set on the command line; they win over the protocol.

    Raises:
        ConfigError: one line that names the field, the value and what would be right.
    """
    values = dict(config.to_dict() if isinstance(config, ConfigDict) else config)
    _apply_protocol(values, overrides)
    fields = [field.name for field in dataclasses.fields(SweepConfig)]
    known = ["grid" if field == "grids" else field for field in fields]
    for name in values:
        if name not in known:
            raise unknown("", name, known)
    for name in known:
        if name not in values:
            raise ConfigError(f"{name}: missing; start the config from default_config()")
    grids = _grids(values.pop("grid"))
    checked = {
        name: value if name == "protocol" else check(name, name, value)
        for name, value in values.items()
    }
    if checked["seed"] + checked["seeds"] > 2**31:
        raise ConfigError(
            f"seeds: {checked['seeds']} from seed {checked['seed']} on passes 2147483647; give less"
        )
    for name, axes in grids.items():
        annealed = checked["anneal"] > 0 or "anneal" in axes
        if annealed and "log_gamma" not in axes:
            raise ConfigError(
                "anneal: has no effect without levels to anneal to; add the axis grid.log_gamma,"
                " or remove it"
            )
        if "log_gamma" in axes and "log_gamma_init" in axes and not annealed:
            raise ConfigError(
                f"grid{'.' if name else ''}{name}.log_gamma_init: has no effect beside log_gamma,"
                " which is held from the start; remove one, or set anneal"
            )
    resolved = SweepConfig(grids=grids, **checked)
    sizes = [size for axes in grids.values() for size in axes.get("batch_size", ())]
    for size in [*sizes, resolved.batch_size]:
        if size > resolved.n_train:
            raise ConfigError(
                f"batch_size: {size} is more than n_train = {resolved.n_train}; "
                f"it must be {resolved.n_train} or less"
            )
    return resolved


def from_json(values: Mapping[str, Any]) -> SweepConfig:
    """The inverse of `SweepConfig.to_json`, through the same checks as a config file."""
    values = dict(values)
    grids = values.pop("grids")
    protocol = values.pop("protocol")
    grid = grids[""] if set(grids) == {""} else grids
    resolved = resolve({**values, "grid": grid, "protocol": OWN_PROTOCOL})
    return dataclasses.replace(resolved, protocol=protocol)


def differences(old: SweepConfig, new: SweepConfig) -> list[str]:
    """Fields in which two configs differ, each as `field: old -> new`.

    The memory limit is left out: it decides on slices alone, never on numbers.
    """
    return [
        f"{field.name}: {getattr(old, field.name)!r} -> {getattr(new, field.name)!r}"
        for field in dataclasses.fields(SweepConfig)
        if field.name != "memory_gib" and getattr(old, field.name) != getattr(new, field.name)
    ]
