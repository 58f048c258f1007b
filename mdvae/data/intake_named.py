"""What names on the command line mean: a table, and the labels and conditions that go with it."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mdvae.data.intake_files import (
    ONE_OF_SUFFIXES,
    SUFFIXES,
    Opened,
    guarded,
    open_file,
    parts_of,
    read_beside,
    subject,
)
from mdvae.data.intake_text import typed
from mdvae.data.intake_words import clean, named, quoted, refuse
from mdvae.settings.fields import ConfigError


class Raw(NamedTuple):
    """What a user gives, before any check of its values.

    Attributes:
        x: an array, or a frame of columns.
        columns: their names, where they have some.
        labels: an array or a list; None where there are none.
        given: arrays or frames that stand beside one another.
        subjects: how messages on x, labels and given begin.
        notes: what was taken for granted in reading.
    """

    x: Any
    columns: tuple[str, ...] | None
    labels: Any
    given: tuple[Any, ...]
    subjects: tuple[str, str, str]
    notes: tuple[str, ...] = ()


def _as_file(text: str) -> tuple[Path, str] | None:
    """The file that a text means, and the array in it; None where it means none."""
    path, member = Path(text), ""
    if not path.is_file() and ".npz:" in text:
        start, _, member = text.rpartition(":")
        path = Path(start)
    return (path, member) if path.is_file() or path.suffix.lower() in SUFFIXES else None


def _place(opened: Opened, path: Path, field: str, name: str) -> int:
    """The place of a column of the table, by its name."""
    places = [j for j, column in enumerate(opened.columns) if column == clean(name)]
    if len(places) > 1:
        what = f"names {len(places)} columns of {clean(path)}"
        raise refuse(f"{field}: {quoted(name)}", what, "columns need names of their own")
    if not places:
        right = f"it has {named([*opened.others, *opened.columns]) or 'none'}"
        what = f"is no file and no column of {clean(path)}"
        raise refuse(f"{field}: {quoted(name)}", what, right)
    return places[0]


def _values(opened: Opened, name: str, j: int) -> Any:
    """The array of a name, or the column at a place."""
    if j < 0:
        return opened.others[name]
    if j in opened.words:
        return typed(opened.words[j])
    x = opened.x
    return x[:, j] if isinstance(x, np.ndarray) else x.iloc[:, [j]]


def _find(
    opened: Opened, file: Path, field: str, text: str, taken: set[int | str]
) -> tuple[tuple[Any, ...], set[int | str], str]:
    """What a text means: arrays, the places or names where they were, and their subject."""
    known = {*opened.columns, *opened.others}
    parts = parts_of(text, known) if field == "--given" else [text] if text else []
    if not parts:
        return (), set(), ""
    beside = None if known.intersection(map(clean, parts)) else _as_file(text)
    if beside:
        path, member = beside
        n = len(opened.x)
        found = guarded(path, field, lambda: read_beside(path, member, field, n))
        return (found,), set(), subject(field, path)

    places = [-1 if part in opened.others else _place(opened, file, field, part) for part in parts]
    mine = {j if j >= 0 else part for part, j in zip(parts, places, strict=True)}
    if len(mine) < len(parts) or mine & taken:
        raise refuse(f"{field}: {quoted(text)}", "names what is taken already", "name each once")
    values = tuple(_values(opened, part, j) for part, j in zip(parts, places, strict=True))
    return values, mine, f"{field}: {named(parts)} of {clean(file)}"


def read_raw(path: str, array: str = "", labels: str = "", given: str = "") -> Raw:
    """What files hold of a table, and of labels and what is given with it.

    Args:
        array: the name of the table in an .npz file that has several.
        labels: a file, or the name of a column or an array of the first file.
        given: a file, or names of columns or arrays of the first file with commas between them.

    Raises:
        ConfigError: one line on what is wrong with a file.
    """
    if not path:
        raise ConfigError(f"FILE: missing; give {ONE_OF_SUFFIXES}")
    file = Path(path)
    opened: Opened = guarded(file, "FILE", lambda: open_file(file, array, labels, given))
    y, for_labels, about_labels = _find(opened, file, "--labels", labels, set())
    c, for_given, about_given = _find(opened, file, "--given", given, for_labels)

    x, columns = opened.x, opened.columns or None
    kept = [j for j in range(len(opened.columns)) if j not in for_labels | for_given]
    if len(kept) < len(opened.columns):
        x = x[:, kept] if isinstance(x, np.ndarray) else x.iloc[:, kept]
        columns = tuple(opened.columns[j] for j in kept)
    subjects = (subject("FILE", file), about_labels, about_given)
    return Raw(x, columns, y[0] if y else None, c, subjects, opened.notes)
