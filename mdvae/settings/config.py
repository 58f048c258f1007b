"""A config, checked once: top fields, sections by kind, and the axes of the grid.

A config file returns an `ml_collections.ConfigDict` (usually `default_config()` with changes).
`resolve` turns it, once, into a frozen `SweepConfig`; nothing after that point sees a ConfigDict.
"""

import dataclasses
import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from mdvae.settings.axes import check_grid, of_kind
from mdvae.settings.fields import (
    MOST,
    ConfigError,
    Section,
    check,
    fields_of,
    plain,
    shown,
    unknown,
)
from mdvae.settings.protocols import NO_SCALE, OWN_PROTOCOL, apply_protocol, apply_scale
from mdvae.settings.registry import DATA, SECTIONS, Registry
from mdvae.settings.sweep import FORMAT, MOST_RUNS, OWN_FOLDERS, Axes, SweepConfig


class Draft(ConfigDict):
    """A ConfigDict whose fields take values of any type: `resolve` refuses them in better words."""

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        _untie(value)


def _untie(value: Any) -> None:
    """Lets the fields of a ConfigDict that somebody else made take values of any type, too."""
    if isinstance(value, ConfigDict):
        object.__setattr__(value, "_type_safe", False)
        for inner in value.values():
            _untie(inner)


def default_config(**kinds: str) -> Any:
    """A ConfigDict of this project's recipe with an empty grid: what a config file starts from.

    Args:
        **kinds: by section, kinds other than the usual ones, such as data="union".
    """
    config: dict[str, Any] = {name: field.default for name, field in fields_of(SweepConfig).items()}
    config |= {name: Draft(type_safe=False) for name in ("protocols", "scales", "grid", "stages")}
    for name, registry in SECTIONS.items():
        kind = kinds.pop(name, registry.default)
        fields = fields_of(registry.find(kind).settings)
        defaults = {field.name: field.default for field in fields.values()}
        config[name] = Draft({"kind": kind, **defaults}, type_safe=False)
    if kinds:
        raise unknown("", next(iter(kinds)), SECTIONS)
    return Draft(config, type_safe=False)


def default_stage(**kinds: str) -> Any:
    """A ConfigDict of a sweep on the latents of another one: what `config.stages.NAME` starts from.

    Its seeds, cells and widths are those of the first sweep where it does not say others.
    """
    stage = default_config(**{"data": "latents", **kinds})
    with stage.unlocked():
        for name in ("stages", "protocols", "scales", "protocol", "scale", "name"):
            del stage[name]
        stage.seeds = stage.seed = stage.memory_gib = None
    if "skip" in stage.networks:
        stage.networks.skip = True
    if "output" in stage.networks:
        stage.networks.output = "linear"
    return stage


def _section(registry: Registry, given: Any) -> Section:
    """A section of its kind, checked; a required field that is not given is None.

    A field that only another kind has is passed over where it is at that kind's default, so that
    the command line can change the kind of a section.
    """
    section = registry.section
    if not isinstance(given, Mapping):
        raise ConfigError(f"{section}: {shown(given)} is not usable; it must map fields to values")
    name = registry.default if given.get("kind") is None else given["kind"]
    settings = registry.find(name).settings
    known = fields_of(settings)
    for field, value in given.items():
        if field == "kind" or field in known or value is None:
            continue
        others = [fields_of(registry.find(other).settings) for other in registry.names()]
        defaults = [other[field].default for other in others if field in other]
        if not defaults:
            raise unknown(f"{section}.", field, known)
        if plain(value) not in defaults:
            raise ConfigError(
                f"{section}.{field}: {shown(value)} has no effect with {section}.kind {name!r};"
                " leave it out"
            )
    values = {}
    for field in known.values():
        value = given.get(field.name, field.default)
        empty = value is None and field.default is None
        values[field.name] = None if empty else check(f"{section}.{field.name}", field, value)
    return settings(kind=name, **values).completed()


def _top(values: Mapping[str, Any]) -> dict[str, Any]:
    """The top fields, checked."""
    top = fields_of(SweepConfig)
    known = [*top, "grid", "stages", *SECTIONS]
    for name in values:
        if name not in known:
            inner = [
                f"{section}.{field}"
                for section, registry in SECTIONS.items()
                for kind in registry.names()
                for field in fields_of(registry.find(kind).settings)
            ]
            raise unknown("", name, [*known, *inner])
    checked = {
        name: check(name, field, values.get(name, field.default)) for name, field in top.items()
    }
    if checked["seed"] + checked["seeds"] > 2**31:
        raise ConfigError(
            f"seeds: {checked['seeds']} from seed {checked['seed']} on passes 2147483647; give less"
        )
    if checked["eval_every"] % checked["log_every"]:
        raise ConfigError(
            f"eval_every: {checked['eval_every']} is not usable; it must be a multiple of"
            f" log_every = {checked['log_every']}, or 0 for no held-out scores"
        )
    if checked["done_nats"] and not checked["eval_every"]:
        raise ConfigError(
            f"done_nats: {checked['done_nats']:g} is not usable without held-out scores; set"
            " eval_every, or done_nats to 0"
        )
    return checked


def resolve(config: ConfigDict | Mapping[str, Any], overrides: Collection[str] = ()) -> SweepConfig:
    """Checks a config and fills in its protocol and scale; what is missing takes its default.

    Args:
        config: what a config file's `get_config` returned, after command-line overrides.
        overrides: dotted names of the fields set on the command line; they win over both.

    Raises:
        ConfigError: one line that names the field, the value and what would be right.
    """
    values = dict(config.to_dict() if isinstance(config, ConfigDict) else config)
    apply_protocol(values, overrides)
    apply_scale(values, overrides)
    if "steps" in overrides and "epochs" not in overrides:
        values["epochs"] = 0
    top = _top(values)
    sections: dict[str, Any] = {
        name: _section(registry, values.get(name, {})) for name, registry in SECTIONS.items()
    }
    axed = {name: section for name, section in sections.items() if name != "analysis"}
    grids = check_grid(values.get("grid", {}), axed)
    n_cells = sum(math.prod(map(len, axes.values())) for axes in grids.values())
    if n_cells * top["seeds"] > MOST_RUNS:
        raise ConfigError(
            f"seeds: {top['seeds']} of {n_cells} cells are too many; the product must be"
            f" {MOST_RUNS} or less"
        )
    if top["epochs"]:
        top["steps"] = _steps_of(top, sections["data"], grids)
        if top["steps"] > MOST:
            raise ConfigError(f"epochs: {top['epochs']} are {top['steps']} steps; give fewer")
    for path in overrides:
        section, _, leaf = path.rpartition(".")
        axis = section if leaf == "kind" else leaf
        if section in (*SECTIONS, "") and all(axis in axes for axes in grids.values()):
            raise ConfigError(
                f"{path}: has no effect beside the axis grid.{axis}; set that instead"
            )
    stages = _stages(values.get("stages", {}))
    for name, stage in stages.items():
        if f"stages.{name}.steps" in overrides and f"stages.{name}.epochs" not in overrides:
            stage["epochs"] = 0
    return SweepConfig(**top, **sections, grids=grids, stages=stages)


def _stages(given: Any) -> dict[str, Any]:
    """What stages have other than the defaults, as plain values; see `stages.plan`."""
    if not isinstance(given, Mapping):
        raise ConfigError(f"stages: {shown(given)} is not usable; it must map names to changes")
    for name, changes in given.items():
        if not (isinstance(name, str) and name.isidentifier()) or name in OWN_FOLDERS:
            raise ConfigError(
                f"stages: {shown(name)} is not usable as a name; it must be a word, and none of"
                f" {', '.join(OWN_FOLDERS)}"
            )
        if not isinstance(changes, Mapping):
            raise ConfigError(
                f"stages.{name}: {shown(changes)} is not usable; it must map fields to values"
            )
    return _plain_tree(given)


def _plain_tree(value: Any) -> Any:
    """Nested mappings as dicts, and plain values in them."""
    if isinstance(value, Mapping):
        return {name: _plain_tree(each) for name, each in value.items()}
    return plain(value)


def _steps_of(top: Mapping[str, Any], data: Section, grids: Mapping[str, Axes]) -> int:
    """How many steps as many epochs are as a config wants.

    Raises:
        ConfigError: where an epoch is not as long for all cells.
    """
    lengths: set[int] = set()
    for axes in grids.values():
        batch_sizes = axes.get("batch_size", (top["batch_size"],))
        for kind in axes.get("data", (data.kind,)):
            settings = of_kind(data, DATA, kind)
            own = {name: axes[name] for name in fields_of(settings) if name in axes}
            for values in itertools.product(*own.values()):
                point = dict(zip(own, values, strict=True))
                n_train, _ = DATA.find(kind).samples(dataclasses.replace(settings, **point))
                lengths |= {n_train // batch_size for batch_size in batch_sizes}
    # A cell without a single batch is refused when it is made, and there it is said why.
    lengths = {length for length in lengths if length > 0}
    if len(lengths) > 1:
        steps = " and ".join(map(str, sorted(lengths)))
        raise ConfigError(
            f"epochs: {top['epochs']} is not usable where epochs have {steps} steps; set steps"
        )
    return top["epochs"] * max(lengths, default=1)


def from_json(values: Mapping[str, Any]) -> SweepConfig:
    """The inverse of `SweepConfig.to_json`, through the same checks as a config file.

    Raises:
        ConfigError: where another version of mdvae wrote a format that this one cannot read.
    """
    values = dict(values)
    found = values.pop("format", 1)
    if found != FORMAT:
        raise ConfigError(
            f"format: {found!r} is not usable; this version of mdvae reads format {FORMAT}, so open"
            " it with the version that wrote it"
        )
    grids = values.pop("grids", {"": {}})
    protocol, scale = values.pop("protocol", OWN_PROTOCOL), values.pop("scale", NO_SCALE)
    grid = grids[""] if set(grids) == {""} else grids
    return dataclasses.replace(resolve({**values, "grid": grid}), protocol=protocol, scale=scale)


def differences(old: SweepConfig, new: SweepConfig) -> list[str]:
    """Fields that decide numbers and in which two configs differ, each as `field: old -> new`."""
    pairs: list[tuple[str, Any, Any]] = [("grid", old.grids, new.grids)]
    pairs += _deciding("", old, new)
    if new.done_nats:
        # Lines of metrics say when a run is done.
        pairs.append(("log_every", old.log_every, new.log_every))
    for section in SECTIONS:
        mine, theirs = getattr(old, section), getattr(new, section)
        if mine.kind != theirs.kind:
            pairs.append((f"{section}.kind", mine.kind, theirs.kind))
        else:
            pairs += _deciding(f"{section}.", mine, theirs)
    return [f"{path}: {mine!r} -> {theirs!r}" for path, mine, theirs in pairs if mine != theirs]


def _deciding(path: str, old: Any, new: Any) -> Sequence[tuple[str, Any, Any]]:
    return [
        (f"{path}{name}", getattr(old, name), getattr(new, name))
        for name, field in fields_of(old).items()
        if field.decides
    ]
