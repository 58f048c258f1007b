"""Random command lines of a sweep: known fields and near misses, values right and wrong."""

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from mdvae import cli
from mdvae.settings.axes import known_axes
from mdvae.settings.config import SweepConfig
from mdvae.settings.fields import Field, fields_of
from mdvae.settings.registry import SECTIONS

NUMBERS = ("0", "1", "-1", "2", "3", "7", "20", "1.5", "1e30", "-1e30", "nan", "inf", "-inf")
HUGE = ("1000000000", str(10**12), str(10**30), "9" * 5_000, "2147483647", "2147483648", "1e9")
TEXTS = ("", "x", "None", "True", "false", "κ", "a\nb", "a\x00b", "'x'", "..", "/", "x" * 3_000)
TUPLES = (
    "()",
    "(1,)",
    "(2,3)",
    "((2,),(3,))",
    "(((1,),),)",
    "(1,'a')",
    "(2,2)",
    "(None,)",
    "(8,8,8)",
    "[4]",
    "{'a': 1}",
    "(1000000000,)",
    "range(1,4)",
    "range(1000000000)",
    "range(10000000)",
    "(" * 300,
    "(1",
    "nan,",
    "-",
    "(1e30,)",
    "(True, False)",
)
OWN_FLAGS = ("workdir", "devices", "dry_run", "distributed", "coordinator", "num_processes")


def known_fields() -> dict[str, Field | None]:
    """The dotted names of all fields, axes and places, with their declarations where they have."""
    found: dict[str, Field | None] = {**fields_of(SweepConfig)}
    for section, registry in SECTIONS.items():
        found[f"{section}.kind"] = None
        for kind in registry.names():
            own = fields_of(registry.find(kind).settings)
            found |= {f"{section}.{name}": field for name, field in own.items()}
    kinds = {name: each.names() for name, each in SECTIONS.items() if name != "analysis"}
    found |= {f"grid.{name}": axis.field for name, axis in known_axes(kinds).items()}
    places = ("grid", "stages", "protocols", "scales", "data", "grid.wide.d", "stages.second.steps")
    stages = ("stages.second.grid.kappa", "stages.second.data.cell", "stages.second.seeds", "")
    return found | dict.fromkeys((*places, *stages))


@cache
def own_fields(file: Path) -> list[str]:
    """The dotted names of the fields that a config file has, but for those of protocols."""
    config = cli.load_config(str(file))
    found = [name for name in config if name not in ("protocols", "scales")]
    for section in (*SECTIONS, "grid"):
        found += [f"{section}.{name}" for name in config[section] if name != "kind"]
    return sorted(found)


def _right(draw: random.Random, path: str, field: Field | None) -> str:
    """A value that the field may have, as often as one is easily found."""
    if path.endswith(".kind"):
        return draw.choice(SECTIONS[path.split(".")[0]].names())
    if field is None:
        return draw.choice(("1", "x", "(2,)"))
    words = field.rule.words
    if words.startswith("one of "):
        return draw.choice(words.removeprefix("one of ").split(", "))
    plain = {
        int: ("1", "2", "5", "64"),
        float: ("0.01", "0.5", "1", "2.5"),
        bool: ("True", "False"),
    }
    value = draw.choice(plain.get(field.rule.type, ("(4,)", "(2, 3)", "", "x")))
    return f"({value},)" if path.startswith("grid.") and "(" not in value else value


def _misspelt(draw: random.Random, path: str) -> str:
    """A name with a letter that is doubled, missing or another."""
    at = draw.randrange(len(path) + 1)
    return path[:at] + draw.choice(("", "x", "_", ".", "κ")) + path[at + draw.randrange(2) :]


def _value(draw: random.Random, path: str, field: Field | None) -> str:
    if draw.random() < 0.6:
        return _right(draw, path, field)
    return draw.choice(draw.choice((NUMBERS, HUGE, TEXTS, TUPLES)))


def command_line(
    draw: random.Random, configs: Sequence[Path], fields: dict[str, Field | None]
) -> list[str]:
    """A config file with one to four overrides, and in some a slip in the arguments.

    Four of ten are meant well: right values of the file's own fields, without a slip.
    """
    file, meant_well = draw.choice(configs), draw.random() < 0.4
    argv = [f"--config={file}"]
    all_names, own_names = sorted(fields), own_fields(file)
    for _ in range(draw.randint(1, 4)):
        if meant_well:
            path = draw.choice(own_names)
            argv.append(f"--config.{path}={_right(draw, path, fields.get(path))}")
            continue
        path = draw.choice(all_names if draw.random() < 0.2 else own_names)
        value = _value(draw, path, fields.get(path))
        path = _misspelt(draw, path) if draw.random() < 0.08 else path
        argv.append(f"--config.{path}={value}")
    if not meant_well and draw.random() < 0.25:
        slip = draw.choice(("bare", "doubled", "unknown", "own", "positional", "dashes"))
        if slip == "bare":
            argv[-1] = argv[-1].partition("=")[0]
        elif slip == "doubled":
            argv.append(draw.choice(argv))
        elif slip == "own":
            argv.append(f"--{draw.choice(OWN_FLAGS)}={draw.choice((*NUMBERS, *TEXTS))}")
        else:
            argv.append(
                {"unknown": "--seed=3", "positional": "x"}.get(slip, draw.choice(("-", "--")))
            )
    return argv
