"""What a user gives to have its dimension estimated: checked, repaired where that is harmless.

What is left out is told in notes, and what makes an estimate doubtful in warnings. Nothing that the
user made is changed.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mdvae.data.intake_doubts import (
    discrete_columns,
    of_classes,
    of_discrete,
    of_row_numbers,
    of_shape,
    of_units,
)
from mdvae.data.intake_named import Raw, read_raw
from mdvae.data.intake_repairs import (
    Rows,
    Subjects,
    check_scale,
    check_size,
    classes_left,
    without_constants,
    without_missing,
    without_repetitions,
)
from mdvae.data.intake_values import as_labels, as_table, check_rows
from mdvae.data.intake_words import refuse


class Intake(NamedTuple):
    """A table that can be trained on.

    Attributes:
        x: [n, d], uint8, float32 or float64, finite, row after row; not to be written to.
        columns: names of the d columns.
        labels: place of each row in the classes, [n]; None without labels.
        classes: names of the classes, in order; none without labels.
        given: numbers to condition on, [n, c]; None without.
        notes: a sentence on each repair.
        warnings: a sentence on each doubt.
        discrete: names of columns with few distinct values.
    """

    x: np.ndarray
    columns: tuple[str, ...]
    labels: np.ndarray | None
    classes: tuple[str, ...]
    given: np.ndarray | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    discrete: tuple[str, ...]


def read_intake(path: str, array: str = "", labels: str = "", given: str = "") -> Intake:
    """The table of a file, with labels and what is given, from it or from other files.

    Args:
        path: a .npy, .npz, .csv, .tsv or .parquet file; [n, d], or [n, ...], which is flattened.
        array: the name of the table in an .npz file that has several arrays.
        labels: a file with one column, or the name of a column (or array) of `path`, which is then
            taken out of the table. FILE.npz:NAME is an array of another archive.
        given: a file [n] or [n, c], or names of columns (or arrays) of `path` with commas between
            them, which are then taken out of the table.

    Raises:
        ConfigError: one line that begins with FILE, --array, --labels or --given.
    """
    return _checked(read_raw(path, array, labels, given))


def check_intake(
    x: Any,
    labels: Any = None,
    given: Any = None,
    columns: Sequence[str] | None = None,
    name: str = "x",
) -> Intake:
    """A table in memory, with labels and what is given.

    Args:
        x: [n, d] real numbers, or [n, ...], which is flattened; an array, a list or a frame.
        labels: n whole numbers, booleans or texts, of 2 to 1000 classes.
        given: real numbers, [n] or [n, c].
        columns: names of the columns of x, if it is no frame.
        name: what messages call x.

    Raises:
        ConfigError: one line that begins with `name`, "labels" or "given".
    """
    names = None if columns is None else tuple(columns)
    about = (f"{name}: the array", "labels: the array", "given: the array")
    return _checked(Raw(x, names, labels, () if given is None else (given,), about))


def _conditions(parts: tuple[Any, ...], n: int, subject: str, of: str) -> np.ndarray:
    """Numbers that are given with n rows, beside one another, [n, c]."""
    tables = []
    for part in parts:
        table, *_ = as_table(part, None, subject, least_axes=1)
        check_rows(len(table), n, subject, of)
        tables.append(table.astype(np.float64))
    given = np.concatenate(tables, axis=1)
    if not given.shape[1]:
        raise refuse(subject, "has no column", "it must have a column or more")
    return given


def _checked(raw: Raw) -> Intake:
    """What the two ways of giving data share."""
    about = Subjects(*raw.subjects)
    x, columns, flattened = as_table(raw.x, raw.columns, about.x)
    n, labels, classes, given = len(x), None, (), None
    rows = Rows(x, columns, None, None, (*raw.notes, *([flattened] if flattened else [])))
    check_size(rows, n, about.x)
    if raw.labels is not None:
        labels, classes = as_labels(raw.labels, n, about.labels, about.x)
    if raw.given:
        given = _conditions(raw.given, n, about.given, about.x)

    rows = without_missing(rows._replace(labels=labels, given=given), about)
    check_size(rows, n, about.x)
    rows = without_constants(rows, about)
    rows = without_repetitions(rows)
    check_size(rows, n, about.x)
    rows, classes = classes_left(rows, classes, about.labels)
    deviation = check_scale(rows.x, about.x)
    if rows.given is not None:
        check_scale(rows.given, about.given)

    # Pixels share one unit, whatever they vary by.
    one_unit = bool(flattened) or rows.x.dtype == np.uint8
    discrete = tuple(rows.columns[j] for j in discrete_columns(rows.x))
    warnings = (
        *rows.warnings,
        *of_shape(*rows.x.shape),
        *of_row_numbers(x, columns),
        *of_discrete(discrete),
        *([] if one_unit else of_units(deviation, rows.columns)),
        *of_classes(rows.labels, classes),
    )
    # A view of its own: the user's array stays theirs to write to.
    kept = np.ascontiguousarray(rows.x).view()
    kept.flags.writeable = False
    return Intake(
        kept, rows.columns, rows.labels, classes, rows.given, rows.notes, warnings, discrete
    )
