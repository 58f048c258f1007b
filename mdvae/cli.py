"""What the commands share: flags, config files and their overrides, one-line errors."""

import errno
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from mdvae import overrides
from mdvae.settings.config import SweepConfig, resolve
from mdvae.settings.fields import ConfigError, fields_of, unusable
from mdvae.settings.registry import SECTIONS

USER_ERROR = 2
DIVERGED = 3
UNWRITTEN = 74
INTERRUPTED = 75
# What is wrong with a file, and what would be right, by what the system says of it.
_FULL = "cannot be written ({}); make room"
_NO_RIGHTS = "cannot be read or written ({}); give the right to"
_DISK = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _FULL)
_DISK |= dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _NO_RIGHTS)
# What a flag must be, by what absl calls its type.
_FLAG_WORDS = {"int": "a whole number", "float": "a number", "bool": "True or False"}
HELP = ("-h", "-help", "--help", "--helpfull")


def run_command(main: Callable[[Sequence[str]], int]) -> None:
    """Runs a command; a user's mistake is one line on stderr and exit code 2."""
    try:
        code = main(sys.argv)
        sys.stdout.flush()
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        code = USER_ERROR
    except OSError as error:
        code = _unwritten(error)
    sys.exit(code)


def _unwritten(error: OSError) -> int:
    """Says what could not be written, where that is the disk's fault; the exit code."""
    if error.filename is None:
        # The reader of our output has gone (such as `| head`), or its disk is full: at the end
        # Python would try once more to write the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 1  # there is nobody to tell
    if error.errno not in _DISK:
        raise error
    wrong = _DISK[error.errno].format(error.strerror)
    where = error.filename or "the output"
    print(f"error: {where}: {wrong}, then give the same command again", file=sys.stderr)
    return UNWRITTEN


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
        refused = re.fullmatch(r"flag --(\w+)=(.*?): .*", str(error), re.DOTALL)
        if refused is None:
            raise ConfigError(one_line(error)) from error
        right = _FLAG_WORDS[values[refused[1]].parser.flag_type()]
        raise unusable(f"--{refused[1]}", refused[2], right) from error


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
        retyped = _retyped(error)
        reason = f": {retyped}" if retyped else f" fails with {kind}: {one_line(error)}"
        raise ConfigError(f"--config: {path}{reason}") from error
    if not has_config:
        raise ConfigError(
            f"--config: {path} has no get_config(); it must define one that returns a ConfigDict"
        )
    if not isinstance(config, ConfigDict):
        raise ConfigError(
            f"--config: get_config() returned {type(config).__name__}; it must return a ConfigDict"
        )
    return config


def _retyped(error: Exception) -> str:
    """What is wrong where a ConfigDict that default_config() did not make has refused a value."""
    message = r"Could not override field '(.+?)' \(reference\)\. (.*) is of original type .*"
    found = re.fullmatch(message, one_line(error))
    if found is None:
        return ""
    # Of kinds that share a name, the usual one's stands first.
    kinds = [(r, kind) for r in SECTIONS.values() for kind in (r.default, *r.names())]
    settings = [registry.find(kind).settings for registry, kind in kinds]
    fields = [field for each in (*settings, SweepConfig) for field in fields_of(each).values()]
    right = [field.rule.words for field in fields if field.name == found[1]] or ["of that type"]
    return (
        f"{found[1]}: {found[2]} is not usable in place of a value of another type; it must be"
        f" {right[0]}"
    )


def parse_config(argv: Sequence[str], values: flags.FlagValues) -> tuple[SweepConfig, list[str]]:
    """Reads --config FILE, its overrides --config.FIELD=VALUE, and a command's own flags.

    Returns:
        The checked config, and the arguments that are no flags.

    Raises:
        ConfigError: one line on what is wrong.
    """
    path, rest = _config_path(argv)
    config = load_config(path)
    texts, rest = overrides.split(rest)
    stray = parse_flags(rest, values)
    overrides.apply(config, texts)
    return resolve(config, texts), stray
