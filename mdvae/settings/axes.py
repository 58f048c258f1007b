"""The axes of a grid: which there are, in what order, and what values they may have."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from mdvae.settings.fields import (
    FIXED,
    FOUND,
    NUMBER,
    STATIC,
    TEXT,
    ConfigError,
    Field,
    Section,
    check,
    fields_of,
    plain,
    shown,
    unknown,
)
from mdvae.settings.registry import SECTIONS, Registry
from mdvae.settings.sweep import LEADING, MOST_RUNS, Axes, SweepConfig

# Axes that are no fields of a section: the kind of one, and the one top field that may vary.
_KIND = Field("kind", "", TEXT, STATIC, required=False, decides=True)
_BATCH_SIZE = fields_of(SweepConfig)["batch_size"]


class Axis(NamedTuple):
    """Where an axis of a grid belongs: a section ("" for a top field) and its field there."""

    section: str
    field: Field


def known_axes(kinds: Mapping[str, Iterable[str]]) -> dict[str, Axis]:
    """The axes that a grid over some kinds may have, in the order of a cell's name.

    Sizes lead; other numbers follow, then kinds, then choices that make programs of their own.

    Args:
        kinds: the names of the kinds of each section.
    """
    found: dict[str, Axis] = {}
    for section, names in kinds.items():
        for name in names:
            for field in fields_of(SECTIONS[section].find(name).settings).values():
                if field.role in (FIXED, FOUND):
                    continue
                if found.get(field.name, Axis(section, field)).section != section:
                    raise ConfigError(
                        f"{section}.{field.name}: {found[field.name].section} has a field of this"
                        " name too; an axis must be told by its name alone, so rename one"
                    )
                found[field.name] = Axis(section, field)
    for section in kinds:
        found[section] = Axis(section, _KIND)
    found["batch_size"] = Axis("", _BATCH_SIZE)

    def rank(name: str) -> tuple[int, int]:
        if name in LEADING:
            return 0, LEADING.index(name)
        axis = found[name]
        return (1 if axis.field.role == NUMBER else 2 if axis.field is _KIND else 3), 0

    return {name: found[name] for name in sorted(found, key=rank)}


def _kinds_of(
    path: str, sections: Mapping[str, Section], axes: Mapping[str, Any]
) -> dict[str, list[str]]:
    """The kinds of each section that a grid runs over."""
    kinds = {}
    for section, own in sections.items():
        values = _values(f"{path}.{section}", axes[section]) if section in axes else (own.kind,)
        for value in values:
            SECTIONS[section].find(value, f"{path}.{section}" if section in axes else "")
        kinds[section] = list(values)
    return kinds


def _check_shared(section: str, own: Section, kinds: Iterable[str]) -> None:
    """Refuses a field that is set where no kind on the axis of a section has it."""
    others = [fields_of(SECTIONS[section].find(kind).settings) for kind in kinds]
    for name, field in fields_of(own).items():
        value = getattr(own, name)
        if value not in (None, field.default) and not any(name in other for other in others):
            raise ConfigError(
                f"{section}.{name}: {shown(value)} has no effect with any kind of the axis"
                f" grid.{section}; leave it out"
            )


def _values(path: str, values: Any) -> tuple[Any, ...]:
    """The values of an axis; one that is no tuple or the like is its only one."""
    values = plain(values)
    if values == ():
        raise ConfigError(
            f"{path}: () is not usable; it must be a tuple with at least one value, such as (20,)"
        )
    return values if isinstance(values, tuple) else (values,)


def _axes(path: str, axes: Mapping[str, Any], sections: Mapping[str, Section]) -> Axes:
    """The axes of one grid, checked and in order."""
    known = known_axes(_kinds_of(path, sections, axes))
    checked: Axes = {}
    for name, given in axes.items():
        if name not in known:
            raise _no_axis(path, name, sections, known)
        values = tuple(
            check(f"{path}.{name}", known[name].field, value)
            for value in _values(f"{path}.{name}", given)
        )
        if len(set(values)) < len(values):
            raise ConfigError(
                f"{path}.{name}: {shown(values)} repeats a value; each may stand once"
            )
        checked[name] = values
    if math.prod(map(len, checked.values())) > MOST_RUNS:
        raise ConfigError(f"{path}: has more than {MOST_RUNS:,} cells; give axes fewer values")
    for name, axis in known.items():
        given = name in checked or getattr(sections.get(axis.section), name, None) is not None
        if axis.field.required and not given:
            raise ConfigError(f"{path}.{name}: missing; give at least one value, such as (20,)")
    return {name: checked[name] for name in known if name in checked}


def _no_axis(
    path: str, name: str, sections: Mapping[str, Section], known: Mapping[str, Axis]
) -> ConfigError:
    """The error for an axis that there is not: a field of another role, or a wrong name."""
    for section, own in sections.items():
        field = fields_of(own).get(name)
        if field is not None and field.role == FOUND:
            return ConfigError(
                f"{path}.{name}: is found with {section}.kind {own.kind!r}, not set; leave it out"
            )
        if field is not None:
            return ConfigError(
                f"{path}.{name}: is one for the whole sweep and no axis; set {section}.{name}"
            )
    return unknown(f"{path}.", name, known)


def check_grid(grid: Any, sections: Mapping[str, Section]) -> dict[str, Axes]:
    if not isinstance(grid, Mapping):
        raise ConfigError(
            f"grid: {shown(grid)} is not usable; it must map axes to tuples of values"
        )
    # An axis that is None, or a named grid, is not there.
    grid = {name: values for name, values in grid.items() if values is not None}
    named = bool(grid) and all(isinstance(axes, Mapping) for axes in grid.values())
    grids = {f"grid.{name}": axes for name, axes in grid.items()} if named else {"grid": grid}
    grids = {
        path: {name: values for name, values in axes.items() if values is not None}
        for path, axes in grids.items()
    }
    kinds = [_kinds_of(path, sections, axes) for path, axes in grids.items()]
    for section, own in sections.items():
        # What is set may be there for the cells of one grid alone.
        if any(section in axes for axes in grids.values()):
            _check_shared(section, own, {kind for each in kinds for kind in each[section]})
    found = {path: _axes(path, axes, sections) for path, axes in grids.items()}
    return {path.removeprefix("grid").removeprefix("."): axes for path, axes in found.items()}


def of_kind(section: Section, registry: Registry, kind: str) -> Section:
    """A section turned into another kind; fields that both have keep values that both may have."""
    settings = registry.find(kind).settings
    own = fields_of(section)
    shared = {
        name: getattr(section, name)
        for name, field in fields_of(settings).items()
        if name in own
        and (getattr(section, name) is None or field.rule.accepts(getattr(section, name)))
    }
    return settings(kind=kind, **shared).completed()
