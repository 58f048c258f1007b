"""A config, checked once: top fields, sections by kind, and the axes of the grid.

A config file returns an `ml_collections.ConfigDict` (usually `default_config()` with changes).
`resolve` turns it, once, into a frozen `SweepConfig`; nothing after that point sees a ConfigDict.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from mdvae.settings import fields
from mdvae.settings.axes import LEADING, Axes, check_grid
from mdvae.settings.fields import (
    ConfigError,
    Rule,
    Section,
    check,
    fields_of,
    fixed,
    static,
    unknown,
)
from mdvae.settings.protocols import OWN_PROTOCOL, apply_protocol
from mdvae.settings.registry import SECTIONS, Registry

# Of the files of a run directory; raised where an older mdvae could not read a newer one's.
FORMAT = 2

_NAME = Rule(lambda v: isinstance(v, str) and v != "" and "/" not in v, "a name without '/'", str)
_SEED = Rule(
    lambda v: fields.is_whole(v) and 0 <= v < 2**31, "a whole number from 0 to 2147483647", int
)
_GIB = Rule(fields.NOT_NEGATIVE.accepts, "a number of GiB, or 0 to ask the device", float)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """Everything that decides the numbers of a sweep and of its report, checked.

    Attributes:
        name: of the config; also of its default run directory.
        protocol: "mdvae" for this project's recipe, or one of the config's published ones.
        grids: named products of axes; their union is the sweep. An axis names a field of a section
            by its last name, or a section, whose kind it then varies.
        seeds, seed: how many seeds, and the first of them.
        steps, batch_size: of training; batch_size may be an axis.
        log_every, save_every: steps between lines of metrics, and between checkpoints.
        eval_every: steps between lines of metrics that have scores on held-out samples too, a
            multiple of log_every; 0 for none.
        memory_gib: what one device may use; 0 asks the device.
        group_by: sizes (of kappa, d, r) whose every value gets a program of its own, where
            padding to the largest would waste more than compiling again.
        data, method, networks, optimiser, analysis: the sections; see the file of each kind.
    """

    name: str = fixed("sweep", _NAME, decides=False)
    protocol: str = fixed(OWN_PROTOCOL, fields.TEXT, decides=False)
    grids: dict[str, Axes] = dataclasses.field(default_factory=dict)
    seeds: int = fixed(5, fields.whole(1))
    seed: int = fixed(0, _SEED)
    steps: int = fixed(50_000, fields.whole(1))
    batch_size: int = static(1_000, fields.whole(1))
    log_every: int = fixed(500, fields.whole(1), decides=False)
    save_every: int = fixed(5_000, fields.whole(1), decides=False)
    # It decides no run, but what a line of metrics holds: lines of one directory must agree in it.
    eval_every: int = fixed(0, fields.whole(0))
    memory_gib: float = fixed(0.0, _GIB, decides=False)
    group_by: tuple[str, ...] = fixed((), fields.some_of(LEADING))
    data: Any = dataclasses.field(default_factory=Section)
    method: Any = dataclasses.field(default_factory=Section)
    networks: Any = dataclasses.field(default_factory=Section)
    optimiser: Any = dataclasses.field(default_factory=Section)
    analysis: Any = dataclasses.field(default_factory=Section)

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values, with the format; `from_json` is its inverse."""
        return {"format": FORMAT, **dataclasses.asdict(self)}


def default_config(**kinds: str) -> Any:
    """A ConfigDict of this project's recipe with an empty grid: what a config file starts from.

    Args:
        **kinds: by section, kinds other than the usual ones, such as data="union".
    """
    config: dict[str, Any] = {name: field.default for name, field in fields_of(SweepConfig).items()}
    config |= {"protocols": {}, "grid": {}}
    for name, registry in SECTIONS.items():
        kind = kinds.pop(name, registry.default)
        config[name] = {"kind": kind, **_defaults(registry.find(kind).settings)}
    if kinds:
        raise unknown("", next(iter(kinds)), SECTIONS)
    return ConfigDict(config)


def _defaults(settings: type[Section]) -> dict[str, Any]:
    """Defaults as a ConfigDict wants them: where there is none, a place for one of its type."""
    return {
        name: placeholder(field.rule.type) if field.default is None else field.default
        for name, field in fields_of(settings).items()
    }


def _section(registry: Registry, given: Any) -> Section:
    """A section of its kind, checked; a required field that is not given is None.

    A field that only another kind has is passed over where it is at that kind's default, so that
    the command line can change the kind of a section.
    """
    section = registry.section
    if not isinstance(given, Mapping):
        raise ConfigError(f"{section}: {given!r} is not usable; it must map fields to values")
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
        if value not in defaults:
            raise ConfigError(
                f"{section}.{field}: {value!r} has no effect with {section}.kind {name!r}; leave it"
                " out"
            )
    values = {}
    for field in known.values():
        value = given.get(field.name, field.default)
        empty = value is None and field.default is None
        values[field.name] = None if empty else check(f"{section}.{field.name}", field, value)
    return settings(kind=name, **values)


def _top(values: Mapping[str, Any]) -> dict[str, Any]:
    """The top fields, checked."""
    top = fields_of(SweepConfig)
    known = [*top, "grid", *SECTIONS]
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
    return checked


def resolve(config: ConfigDict | Mapping[str, Any], overrides: Collection[str] = ()) -> SweepConfig:
    """Checks a config and fills in its protocol; what is missing takes its default.

    Args:
        config: what a config file's `get_config` returned, after command-line overrides.
        overrides: dotted names of the fields set on the command line; they win over the protocol.

    Raises:
        ConfigError: one line that names the field, the value and what would be right.
    """
    values = dict(config.to_dict() if isinstance(config, ConfigDict) else config)
    apply_protocol(values, overrides)
    top = _top(values)
    sections: dict[str, Any] = {
        name: _section(registry, values.get(name, {})) for name, registry in SECTIONS.items()
    }
    axed = {name: section for name, section in sections.items() if name != "analysis"}
    grids = check_grid(values.get("grid", {}), axed)
    for path in overrides:
        section, _, leaf = path.rpartition(".")
        axis = section if leaf == "kind" else leaf
        if section in (*SECTIONS, "") and all(axis in axes for axes in grids.values()):
            raise ConfigError(
                f"{path}: has no effect beside the axis grid.{axis}; set that instead"
            )
    return SweepConfig(**top, **sections, grids=grids)


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
    protocol = values.pop("protocol", OWN_PROTOCOL)
    grid = grids[""] if set(grids) == {""} else grids
    return dataclasses.replace(resolve({**values, "grid": grid}), protocol=protocol)


def differences(old: SweepConfig, new: SweepConfig) -> list[str]:
    """Fields that decide numbers and in which two configs differ, each as `field: old -> new`."""
    pairs: list[tuple[str, Any, Any]] = [("grid", old.grids, new.grids)]
    pairs += _deciding("", old, new)
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
