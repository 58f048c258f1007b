"""The words in which what a user gives is refused, and in which it is said what was done to it."""

from collections.abc import Iterable, Sequence

from mdvae.data.files import SHOWN
from mdvae.settings.fields import ConfigError

# Of a name or a text in a message.
LONGEST = 40


def clean(text: object) -> str:
    """A text in one line, without white space at its ends."""
    return " ".join(str(text).split())


def quoted(text: object) -> str:
    """A text as it is shown in a message: in one line, in quotes, and not too long."""
    shown = clean(text)
    return repr(shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 3]}...")


def refuse(subject: str, what: str, right: str) -> ConfigError:
    """The error for a thing that cannot be used.

    Args:
        subject: its field and what it is, as "FILE: x.csv".
        what: is wrong with it, as "has 3 rows".
        right: says what would be right.
    """
    return ConfigError(f"{subject} {what}; {right}")


def listed(words: Iterable[str]) -> str:
    """Some words behind one another; of many only the first."""
    words = list(words)
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more


def named(names: Iterable[str]) -> str:
    """Some names in quotes behind one another; of many only the first."""
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(quoted, names[:SHOWN])) + more


def column_names(given: Sequence[object] | None, d: int) -> tuple[str, ...]:
    """The names of d columns; "column 3" where there is none, counted from 0."""
    given = [""] * d if given is None else list(given)
    return tuple(clean(name) or f"column {j}" for j, name in enumerate(given))


def sized(shape: tuple[int, ...]) -> str:
    """The shape of an array: "[150, 4]"; of one of many axes their number."""
    return str(list(shape)) if len(shape) <= SHOWN else f"of {len(shape)} axes"
