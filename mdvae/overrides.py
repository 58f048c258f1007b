"""Fields of a config that the command line sets: --config.FIELD=VALUE.

A text is read as what its field is declared to be, whatever value the config file has there: a file
may write steps = 1e3, or a single value for an axis.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from mdvae.settings.axes import known_axes
from mdvae.settings.fields import ConfigError, fields_of, plain, unknown
from mdvae.settings.registry import SECTIONS
from mdvae.settings.sweep import MOST_RUNS, SweepConfig

_OVERRIDE = re.compile(r"--?(no)?config\.([\w.]+)(?:=(.*))?", re.DOTALL)
STAGES = "stages"
_TRUTHS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def read(text: str, kind: type) -> Any:
    """The value that a text stands for; the text itself where it stands for none.

    Args:
        kind: what it is to be; `object` for anything.
    """
    if kind is str:
        return text
    if kind is bool:
        return _TRUTHS.get(text.lower(), text)
    value = plain(_literal(text))
    # A text in brackets is a tuple that is written wrongly, and shown as it is.
    if kind is not tuple or value is None or isinstance(value, tuple) or text[:1] in ("(", "["):
        return value
    return (value,)


def _literal(text: str) -> Any:
    # int and float read what Python's own literals are not, such as nan and 007.
    for convert in (int, float, ast.literal_eval, _range):
        try:
            return convert(text)
        except (ValueError, SyntaxError, TypeError, ArithmeticError, MemoryError, RecursionError):
            continue
    return text


def _range(text: str) -> range:
    inside = re.fullmatch(r"\s*range\(([^()]+)\)\s*", text)
    if inside is None:
        raise ValueError(text)
    values = range(*map(int, inside[1].split(",")))
    if len(values) > MOST_RUNS:
        raise ValueError(text)
    return values


def _kind(path: str) -> type:
    """What the field of a dotted name is declared to be."""
    names = path.split(".")
    if names[0] in ("protocols", "scales", "stages"):
        names = names[2:]
    *sections, leaf = names or [""]
    if sections[:1] == ["grid"]:
        return tuple
    if leaf == "kind":
        return str
    settings: list[Any] = [SweepConfig]
    if sections:
        registry = SECTIONS.get(sections[0])
        settings = [registry.find(name).settings for name in registry.names()] if registry else []
    fields = [fields_of(each)[leaf] for each in settings if leaf in fields_of(each)]
    return fields[0].rule.type if fields else object


def split(argv: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The texts of all overrides by dotted name, the last of each; and the other arguments.

    Raises:
        ConfigError: where one has no value.
    """
    texts: dict[str, str] = {}
    rest, arguments = [], iter(argv)
    for argument in arguments:
        match = _OVERRIDE.fullmatch(argument)
        if match is None:
            rest.append(argument)
            continue
        negated, path, text = match.groups()
        if text is None and (negated or _kind(path) is bool):
            text = str(not negated)
        elif text is None:
            text = next(arguments, "--")
            if text.startswith("--"):
                raise ConfigError(f"{path}: has no value; give one, as --config.{path}=VALUE")
        texts[path] = text
    return texts, rest


def apply(config: Any, texts: Mapping[str, str]) -> None:
    """Sets fields of a config in place.

    Args:
        texts: by dotted name.

    Raises:
        ConfigError: where there is no field of a name; what was probably meant is said.
    """
    texts = _apply_to_stages(config, texts)
    for section, registry in SECTIONS.items():
        if ":" in texts.get(f"{section}.kind", ""):
            registry.find(texts[f"{section}.kind"])  # imports it, so that its fields are known
    _forget_defaults(config, texts)
    room = _make_room(config, texts)
    for path, text in texts.items():
        *above, leaf = path.split(".")
        place: Any = config
        for i, name in enumerate(above):
            place = _inside(config, place, above[:i], name)
        _inside(config, place, above, leaf)
        with place.ignore_type():
            place[leaf] = read(text, _kind(path))
    # What nobody has set is to take the default of the kind that was chosen.
    for place, name in room:
        if place[name] is None:
            with place.unlocked():
                del place[name]


def _apply_to_stages(config: Any, texts: Mapping[str, str]) -> dict[str, str]:
    """Sets fields of the stages of a config in place; returns the texts of other fields."""
    rest, own = {}, {}
    for path, text in texts.items():
        head, _, field = path.partition(".")
        name, _, leaf = field.partition(".")
        if head == STAGES and leaf:
            own.setdefault(name, {})[leaf] = text
        else:
            rest[path] = text
    for name, mine in own.items():
        stage = _inside(config, _inside(config, config, [], STAGES), [STAGES], name)
        try:
            apply(stage, mine)
        except ConfigError as error:
            raise ConfigError(f"{STAGES}.{name}.{error}") from error
    return rest


def _forget_defaults(config: Any, texts: Mapping[str, str]) -> None:
    """Where the command line changes the kind of a section, takes out what was that kind's default.

    What the file has set itself stays, and is refused where the other kind has no such field.
    """
    for section, registry in SECTIONS.items():
        mine = config.get(section)
        before = mine.get("kind") if isinstance(mine, ConfigDict) else None
        if before is None or texts.get(f"{section}.kind", before) == before:
            continue
        for name, field in fields_of(registry.find(before).settings).items():
            if name in mine and plain(mine[name]) == field.default:
                with mine.unlocked():
                    del mine[name]


def _inside(config: Any, place: Any, above: Sequence[str], name: str) -> Any:
    """What stands under a name in a part of a config.

    Args:
        above: the names that lead to the part.
    """
    is_part = isinstance(place, ConfigDict)
    if is_part and name in place:
        return place[name]
    known: list[str] = list(place) if is_part else []
    if not above:
        inner = (each for each in SECTIONS if isinstance(config.get(each), ConfigDict))
        known += [f"{section}.{field}" for section in inner for field in config[section]]
    raise unknown("".join(f"{each}." for each in above), name, known)


def _make_room(config: Any, texts: Mapping[str, str]) -> list[tuple[Any, str]]:
    """Adds places for what the command line may give: axes, and fields of other kinds.

    Fields that are no axes have a place in a grid where they are given there, so that it is said
    what they are.

    Returns:
        The places, each a part of the config and a name in it.
    """
    room: list[tuple[Any, str]] = []
    kinds = {name: registry.names() for name, registry in SECTIONS.items()}
    fields = {
        field
        for section, registry in SECTIONS.items()
        for kind in kinds[section]
        for field in fields_of(registry.find(kind).settings)
    }
    given = [path.rpartition(".") for path in texts]
    axes = [
        *known_axes({name: names for name, names in kinds.items() if name != "analysis"}),
        *(leaf for above, _, leaf in given if above.split(".")[0] == "grid" and leaf in fields),
    ]
    with config.unlocked(), config.ignore_type():
        grid: Any = config.get("grid")
        named = bool(grid) and all(isinstance(each, ConfigDict) for each in grid.values())
        unnamed = [grid] if isinstance(grid, ConfigDict) else []
        places: list[Any] = list(grid.values()) if named else unnamed
        room += [(each, axis) for each in places for axis in axes if axis not in each]
        for section, registry in SECTIONS.items():
            mine = config.get(section)
            for kind in kinds[section] if isinstance(mine, ConfigDict) else []:
                names = fields_of(registry.find(kind).settings)
                room += [(mine, name) for name in names if name not in mine]
        room = list({(id(place), name): (place, name) for place, name in room}.values())
        for place, name in room:
            place[name] = None
    return room
