"""Fields of a config: one declaration has a field's default, its rule and its role.

A section of a config (data, method, networks, optimiser, analysis) is a frozen dataclass that the
file of its kind owns. Its fields are made by `number`, `static` and `fixed`; nothing else in the
house lists them.
"""

import dataclasses
import difflib
import math
import sys
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

NUMBER, STATIC, FIXED, FOUND = "number", "static", "fixed", "found"


class ConfigError(ValueError):
    """A value that cannot be used; the message is one line: field, value, what would be right."""


class Rule(NamedTuple):
    """What a value may be.

    Attributes:
        accepts: whether a value may be used.
        words: what would be right, for the message "it must be ...".
        type: of a value; the command line reads a text as one.
    """

    accepts: Callable[[Any], bool]
    words: str
    type: type


class Field(NamedTuple):
    """A declared field.

    Attributes:
        default: its value where none is given; None where one must be given.
        rule: what it may be.
        role: NUMBER, which may differ between the runs of one program; STATIC, whose every value
            makes a program of its own; FIXED, which is one for the whole sweep and no axis; FOUND,
            which nobody sets, see `found`.
        required: whether a value must be given, here or as an axis of the grid.
        decides: whether it decides the numbers of a run.
        paced_but: the value at which a run is the same, step by step, however many steps there are
            in all; None where it is so at every value.
    """

    name: str
    default: Any
    rule: Rule
    role: str
    required: bool
    decides: bool
    paced_but: Any = None


@dataclasses.dataclass(frozen=True)
class Section:
    """The base of all sections.

    Attributes:
        kind: the name under which the kind is registered (see `registry`).
    """

    kind: str = ""

    def completed(self) -> "Section":
        """The section with its fields of the role FOUND filled in, as a config is resolved.

        Raises:
            ConfigError: where what is to be found is not, or not as it must be.
        """
        return self


def _declare(
    default: Any,
    rule: Rule,
    role: str,
    required: bool = False,
    decides: bool = True,
    paced_but: Any = None,
) -> Any:
    metadata = {"rule": rule, "role": role, "required": required, "decides": decides}
    return dataclasses.field(default=default, metadata={**metadata, "paced_but": paced_but})


def number(default: Any, rule: Rule, paced_but: Any = None) -> Any:
    """Declares a number that may differ between the runs of one program.

    Args:
        paced_but: see `Field`.
    """
    return _declare(default, rule, NUMBER, paced_but=paced_but)


def static(default: Any, rule: Rule, paced_but: Any = None) -> Any:
    """Declares a choice whose every value makes a program of its own.

    Args:
        paced_but: see `Field`.
    """
    return _declare(default, rule, STATIC, paced_but=paced_but)


def fixed(default: Any, rule: Rule, decides: bool = True) -> Any:
    """Declares what is one for the whole sweep.

    Args:
        decides: whether it decides the numbers of a run; what does not may change in a run
            directory that is there already.
    """
    return _declare(default, rule, FIXED, decides=decides)


def found(rule: Rule, decides: bool = False) -> Any:
    """Declares what is found outside the config, such as the shape of a file, and kept with it.

    `Section.completed` fills it in, once; whoever reads the config later need not look again.
    """
    return _declare(None, rule, FOUND, decides=decides)


def required(rule: Rule) -> Any:
    """Declares a field without a default; it must be given, most often as an axis of the grid."""
    return _declare(None, rule, NUMBER, required=True)


def fields_of(section: Any) -> dict[str, Field]:
    """The declared fields of a section's class or of a section, by name and in order."""
    return {
        field.name: Field(name=field.name, default=field.default, **field.metadata)  # type: ignore[arg-type]
        for field in dataclasses.fields(section)
        if field.metadata
    }


def has_found(section: Section, path: str, where: str, may: bool = True) -> bool:
    """Whether the fields of the role FOUND have their values, as in a run directory's config.

    Args:
        path: what the user calls the section.
        where: they are found, such as "the file".
        may: whether they may have values.

    Raises:
        ConfigError: where some of them have a value alone, which somebody has set.
    """
    names = [name for name, field in fields_of(section).items() if field.role == FOUND]
    given = [name for name in names if getattr(section, name) is not None]
    if given and not (may and given == names):
        raise ConfigError(f"{path}.{given[0]}: is found in {where}; leave it out")
    return bool(given)


def plain(value: Any) -> Any:
    """The Python value that a list, a range, or a number or array of NumPy or JAX stands for."""
    if hasattr(type(value), "tolist"):
        value = value.tolist()
    return tuple(map(plain, value)) if isinstance(value, list | tuple | range) else value


def _whole(value: Any) -> Any:
    """Floats without a fraction as integers, as 1e3 is written for 1000; in a tuple too."""
    if isinstance(value, tuple):
        return tuple(map(_whole, value))
    return int(value) if isinstance(value, float) and value.is_integer() else value


# Of a value in a message.
LONGEST_SHOWN = 200


def unusable(path: str, value: Any, right: str) -> ConfigError:
    """The error for a value that cannot be used; `right` says what it must be."""
    return ConfigError(f"{path}: {shown(value)} is not usable; it must be {right}")


def shown(value: Any) -> str:
    """A value for a message: on one line, and not longer than somebody reads."""
    try:
        text = " ".join(repr(value).split())
    except (ValueError, RecursionError):  # of a number of thousands of digits
        return f"a {type(value).__name__} that is too long to show"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]} ..."


def check(path: str, field: Field, value: Any) -> Any:
    """The value as it is to be stored.

    Args:
        path: what the user calls the value, for the message.

    Raises:
        ConfigError: where the rule refuses it.
    """
    value = plain(value)
    for each in (value, _whole(value)):
        if field.rule.accepts(each):
            return float(each) if field.rule.type is float and each is not None else each
    is_large = field.rule.type is int and is_whole(value) and value > MOST
    is_said = "at most" in field.rule.words
    raise unusable(path, value, field.rule.words + f", {MOST} at most" * (is_large and not is_said))


def unknown(path: str, name: str, known: Iterable[str]) -> ConfigError:
    """The error for a name that is not one of the known ones; these may be dotted paths."""
    known = sorted(known)
    inside = [each for each in known if each.rpartition(".")[2] == name]
    close = inside[:1] or difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else "known: " + ", ".join(known)
    return ConfigError(f"{path}{name}: no such field; {hint}")


def is_whole(value: Any) -> bool:
    """Whether a value is an integer, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is an integer or a finite float, and no more than a float can hold."""
    whole = is_whole(value) and abs(value) <= sys.float_info.max
    return whole or (isinstance(value, float) and math.isfinite(value))


# Of counts, which JAX keeps in 32 bits; and of layers and the like, each of which is traced.
MOST, MOST_TRACED = 2**31 - 1, 100


def whole(least: int, most: int = MOST) -> Rule:
    """A whole number from `least` to `most`; who is told of no other bound knows this one."""
    words = f"a whole number, {least} or more"
    words += "" if most == MOST else f", {most} at most"
    return Rule(lambda v: is_whole(v) and least <= v <= most, words, int)


def one_of(names: Collection[str]) -> Rule:
    """One of some names."""
    return Rule(lambda v: isinstance(v, str) and v in names, "one of " + ", ".join(names), str)


def some_of(names: Collection[str]) -> Rule:
    """A tuple of some names."""
    listed = ", ".join(repr(name) for name in names)
    return Rule(
        lambda v: isinstance(v, tuple) and all(isinstance(n, str) and n in names for n in v),
        f"a tuple of some of {listed}",
        tuple,
    )


TRUTH = Rule(lambda v: isinstance(v, bool), "True or False", bool)
TEXT = Rule(lambda v: isinstance(v, str), "a text", str)
NUMBER_RULE = Rule(is_number, "a finite number", float)
OPTIONAL_NUMBER = Rule(lambda v: v is None or is_number(v), "a finite number, or None", float)
NOT_NEGATIVE = Rule(lambda v: is_number(v) and v >= 0, "a number, 0 or more", float)
ABOVE_ZERO = Rule(lambda v: is_number(v) and v > 0, "a number above 0", float)
FRACTION = Rule(lambda v: is_number(v) and 0 <= v < 1, "a fraction, 0 or more and below 1", float)
BETWEEN = Rule(lambda v: is_number(v) and 0 < v < 1, "a fraction between 0 and 1", float)


def widths(words: str) -> Rule:
    """A tuple of widths of layers, of 1 or more each; it may be empty."""
    width = whole(1)

    def accepts(value: Any) -> bool:
        return (
            isinstance(value, tuple)
            and len(value) <= MOST_TRACED
            and all(map(width.accepts, value))
        )

    return Rule(accepts, f"{words}, of {MOST_TRACED} at most", tuple)
