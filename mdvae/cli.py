"""What the commands share: flags, config files and their overrides, one-line errors."""

import importlib.util
import os
import re
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags
from ml_collections.config_dict import placeholder

from mdvae.settings.axes import known_axes
from mdvae.settings.config import SweepConfig, resolve
from mdvae.settings.fields import ConfigError, fields_of, unknown
from mdvae.settings.registry import SECTIONS

USER_ERROR = 2
INTERRUPTED = 75
HELP = ("-h", "-help", "--help", "--helpfull")


def run_command(main: Callable[[Sequence[str]], int]) -> None:
    """Runs a command; a user's mistake is one line on stderr and exit code 2."""
    try:
        code = main(sys.argv)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        code = USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader of our output has gone (such as `| head`); there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def asks_for_help(argv: Sequence[str], usage: str | None) -> bool:
    """Whether the command line asks for help, which is then printed."""
    if any(arg in HELP for arg in argv):
        print((usage or "").strip())
        return True
    return False


def one_line(error: BaseException) -> str:
    """An error's message without line breaks and quotes around it."""
    text = " ".join(str(error).replace("\\n", " ").split())
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def parse_flags(argv: Sequence[str], values: flags.FlagValues) -> list[str]:
    """Parses the flags of a command; returns the arguments that are none.

    Raises:
        ConfigError: one line on what is wrong.
    """
    try:
        return values(list(argv))[1:]
    except flags.UnrecognizedFlagError as error:
        raise ConfigError(f"--{error.flagname}: no such flag; see --help") from error
    except flags.Error as error:
        # Of a field of the config its own name is enough.
        raise ConfigError(re.sub(r"^flag (--config\.)?", "", one_line(error))) from error


def _config_path(argv: Sequence[str]) -> tuple[str, list[str]]:
    """The path behind --config, and the other arguments."""
    path, rest, i = "", [], 0
    while i < len(argv):
        name, equals, value = argv[i].partition("=")
        if name in ("--config", "-config"):
            if not equals and i + 1 < len(argv):
                i += 1
                value = argv[i]
            path = value
        else:
            rest.append(argv[i])
        i += 1
    if path == "":
        raise ConfigError("--config: missing; give a config file, such as configs/quickstart.py")
    if not Path(path).is_file():
        raise ConfigError(f"--config: {path} does not exist; give a config file that does")
    return path, rest


def load_config(path: str) -> Any:
    """What a config file's get_config returns.

    Raises:
        ConfigError: one line on how the file fails, whatever the way.
    """
    spec = importlib.util.spec_from_file_location("mdvae_config", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"--config: {path} is not usable; it must be a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        has_config = hasattr(module, "get_config")
        config = module.get_config() if has_config else None
    except ConfigError as error:
        raise ConfigError(f"--config: {path}: {error}") from error
    except Exception as error:
        # A config file is the user's own code and may fail in any way.
        kind = type(error).__name__
        raise ConfigError(f"--config: {path} fails with {kind}: {one_line(error)}") from error
    if not has_config:
        raise ConfigError(
            f"--config: {path} has no get_config(); it must define one that returns a ConfigDict"
        )
    if not isinstance(config, ConfigDict):
        raise ConfigError(
            f"--config: get_config() returned {type(config).__name__}; it must return a ConfigDict"
        )
    return config


def _make_room(config: Any) -> list[tuple[str, str]]:
    """Adds places for what the command line may give: axes, and fields of other kinds.

    Returns:
        The section and the name of each field that the config did not have.
    """
    made = []
    kinds = {name: registry.names() for name, registry in SECTIONS.items()}
    axes = known_axes({name: names for name, names in kinds.items() if name != "analysis"})
    with config.unlocked(), config.ignore_type():
        grid: Any = config.get("grid")
        named = bool(grid) and all(isinstance(each, ConfigDict) for each in grid.values())
        unnamed = [grid] if isinstance(grid, ConfigDict) else []
        places: list[Any] = list(grid.values()) if named else unnamed
        for each in places:
            for axis in axes:
                if axis not in each:
                    each[axis] = placeholder(tuple)
        for section, registry in SECTIONS.items():
            mine = config.get(section)
            for kind in kinds[section] if isinstance(mine, ConfigDict) else []:
                for name, field in fields_of(registry.find(kind).settings).items():
                    if name not in mine:
                        made.append((section, name))
                        mine[name] = placeholder(field.rule.type)
    return made


def _check_overrides(argv: Sequence[str], config: Any) -> None:
    """Refuses overrides of what a config does not have, with what was probably meant."""
    for arg in argv:
        match = re.match(r"--?config\.([\w.]+)", arg)
        if not match:
            continue
        place, path = config, match[1].split(".")
        for i, name in enumerate(path):
            if not isinstance(place, ConfigDict) or name not in place:
                known: Collection[str] = list(place) if isinstance(place, ConfigDict) else []
                if i == 0:
                    inner = (s for s in SECTIONS if isinstance(config.get(s), ConfigDict))
                    known = [*known, *(f"{s}.{field}" for s in inner for field in config[s])]
                raise unknown("".join(f"{each}." for each in path[:i]), name, known)
            place = place[name]


def parse_config(argv: Sequence[str], values: flags.FlagValues) -> tuple[SweepConfig, list[str]]:
    """Reads --config FILE, its overrides --config.FIELD=VALUE, and a command's own flags.

    Returns:
        The checked config, and the arguments that are no flags.

    Raises:
        ConfigError: one line on what is wrong.
    """
    path, rest = _config_path(argv)
    config = load_config(path)
    for arg in rest:
        chosen = re.match(r"--?config\.(\w+)\.kind=(.+:.+)", arg)
        if chosen and chosen[1] in SECTIONS:
            SECTIONS[chosen[1]].find(chosen[2])  # imports it, so that its fields are known
    made = _make_room(config)
    _check_overrides(rest, config)
    config_flags.DEFINE_config_dict("config", config, "config", sys_argv=rest, flag_values=values)
    stray = parse_flags(rest, values)
    overrides = config_flags.get_override_values(values["config"])
    resolved: Any = values["config"].value
    with resolved.unlocked():
        for section, name in made:
            if resolved[section][name] is None:  # not given: the default of its kind holds
                del resolved[section][name]
    return resolve(resolved, overrides), stray
