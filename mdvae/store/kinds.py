"""Kinds that the config of a run directory names outside of this package, and what is not imported.

A kind "module:name" is code of the user's own. A directory that somebody else made must not bring
code with it, nor set off what a module of Python itself does when it is imported.
"""

import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mdvae.settings.fields import ConfigError
from mdvae.settings.registry import SECTIONS


def _named(values: Any, name: str = "") -> Iterator[str]:
    """The kinds that nested values name, in a section or on an axis."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from _named(value, str(key))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _named(value, name)
    elif isinstance(values, str) and (name == "kind" or name in SECTIONS):
        yield values


def check_kinds(values: Any, directory: Path) -> None:
    """Refuses kinds of modules in a run directory and of Python itself.

    Raises:
        ConfigError: where one is named.
    """
    for kind in _named(values):
        module, colon, _ = kind.rpartition(":")
        if not colon:
            continue
        first = module.partition(".")[0]
        if first in sys.stdlib_module_names or not re.fullmatch(r"\w+", first):
            raise ConfigError(f"kind: {kind!r} is not usable; it must be of a module with kinds")
        try:
            spec = importlib.util.find_spec(first)
        except (ImportError, ValueError):
            continue
        places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
        if any(directory.resolve() in Path(each).resolve().parents for each in places if each):
            raise ConfigError(
                f"kind: {kind!r} is of a module in the run directory, which is not imported; put"
                " it elsewhere"
            )
