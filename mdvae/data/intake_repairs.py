"""Harmless repairs of what a user gives: rows and columns are left out, and that is said."""

from typing import NamedTuple

import numpy as np

from mdvae.data.files import LEAST_ROWS, LEAST_SCALE, MOST_SCALE
from mdvae.data.intake_doubts import deviations, extent, first_of_equals
from mdvae.data.intake_values import MOST_CLASSES, missing_in
from mdvae.data.intake_words import column_names, listed, named, quoted, refuse
from mdvae.settings.words import counted

# Leaving out more rows than this share of them might leave out a part of the manifold.
MOST_MISSING = 0.05


class Rows(NamedTuple):
    """Rows of all that is given, together.

    Attributes:
        x: [n, d].
        columns: names of the d columns.
        labels: places in classes, [n], or None.
        given: [n, c], or None.
        notes, warnings: a sentence each.
    """

    x: np.ndarray
    columns: tuple[str, ...]
    labels: np.ndarray | None
    given: np.ndarray | None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Subjects(NamedTuple):
    """How messages begin, by what they are on."""

    x: str
    labels: str
    given: str


def were(count: int) -> str:
    """What follows a number of things that were."""
    return "was" if count == 1 else "were"


def _noted(rows: Rows, *notes: str) -> Rows:
    return rows._replace(notes=(*rows.notes, *notes))


def _at(rows: Rows, chosen: np.ndarray) -> Rows:
    """Some of the rows, by a mask or by their numbers."""
    return rows._replace(
        x=rows.x[chosen],
        labels=None if rows.labels is None else rows.labels[chosen],
        given=None if rows.given is None else rows.given[chosen],
    )


def _leave_out(rows: Rows, out: np.ndarray, kind: str) -> Rows:
    """The rows without some columns of x."""
    if not out.any():
        return rows
    left_out = [name for name, is_out in zip(rows.columns, out, strict=True) if is_out]
    count = len(left_out)
    note = f"{counted(count, f'{kind} column')} {were(count)} left out: {listed(left_out)}"
    columns = tuple(name for name, is_out in zip(rows.columns, out, strict=True) if not is_out)
    return _noted(rows._replace(x=rows.x[:, ~out], columns=columns), note)


def _leave_out_given(rows: Rows, out: np.ndarray, kind: str) -> Rows:
    """The rows without some columns of what is given."""
    if rows.given is None or not out.any():
        return rows
    count = int(out.sum())
    note = f"{counted(count, f'{kind} column')} of what is given {were(count)} left out"
    return _noted(rows._replace(given=rows.given[:, ~out]), note)


def _refuse_missing(
    subject: str, missing: int, n: int, columns: np.ndarray, names: tuple[str, ...]
) -> Exception:
    worst = [j for j in np.argsort(-columns, kind="stable")[:8] if columns[j]]
    words = ", ".join(f"{quoted(names[j])} ({columns[j]})" for j in worst)
    return refuse(
        subject,
        f"has missing values in {missing} of {n} rows, most in {words}",
        f"at most {100 * MOST_MISSING:g} % may: fill them in, or leave such columns or rows out",
    )


def without_missing(rows: Rows, about: Subjects) -> Rows:
    """The rows without missing values, and without columns that have no value.

    Raises:
        ConfigError: where a value is infinite, and where too many rows have missing values.
    """
    n = len(rows.x)
    missing, columns = missing_in(rows.x, rows.columns, about.x)
    if len(columns) and np.all(columns == n):
        raise refuse(about.x, "holds no value", "it must hold real numbers")
    if np.any(columns == n):
        rows = _leave_out(rows, columns == n, "empty")
        missing, columns = missing_in(rows.x, rows.columns, about.x)
    most = MOST_MISSING * n
    if missing.sum() > most:
        raise _refuse_missing(about.x, int(missing.sum()), n, columns, rows.columns)
    if rows.given is not None:
        names = column_names(None, rows.given.shape[1])
        absent, columns = missing_in(rows.given, names, about.given)
        if np.all(columns == n):
            raise refuse(about.given, "holds no value", "it must hold real numbers")
        if np.any(columns == n):
            rows = _leave_out_given(rows, columns == n, "empty")
            names = column_names(None, int(np.sum(columns != n)))
            absent, columns = missing_in(rows.given, names, about.given)  # type: ignore[arg-type]
        missing = missing | absent
        if missing.sum() > most:
            raise _refuse_missing(about.given, int(absent.sum()), n, columns, names)
    count = int(missing.sum())
    if not count:
        return rows
    note = f"{counted(count, 'row')} with missing values {were(count)} left out"
    return _noted(_at(rows, ~missing), note)


def without_constants(rows: Rows, about: Subjects) -> Rows:
    """The rows without columns that are constant.

    Raises:
        ConfigError: where no other is left.
    """
    low, high = extent(rows.x)
    if np.all(low == high):
        raise refuse(about.x, "is constant", "its rows must differ")
    rows = _leave_out(rows, low == high, "constant")
    if rows.given is None:
        return rows
    low, high = extent(rows.given)
    if np.all(low == high):
        raise refuse(about.given, "is constant", "its rows must differ")
    return _leave_out_given(rows, low == high, "constant")


def without_repetitions(rows: Rows) -> Rows:
    """The rows without those that equal one before them."""
    n = len(rows.x)
    kept, first = first_of_equals(rows.x)
    count = n - len(kept)
    if not count:
        return rows
    notes = [f"{counted(count, 'row')} that repeated an earlier one {were(count)} left out"]
    other = np.zeros(n, bool)
    if rows.labels is not None:
        other |= rows.labels != rows.labels[first]
    if rows.given is not None:
        other |= np.any(rows.given != rows.given[first], axis=1)
    warnings = []
    if other.any():
        warnings.append(
            f"{counted(int(other.sum()), 'row')} left out as repeated had another label, or other"
            " given values, than the row that was kept"
        )
    if count > 0.5 * n:
        warnings.append(
            f"{count} of {n} rows repeated an earlier one; data that repeat themselves may be"
            " discrete, or may have been drawn with replacement, and have no dimension then"
        )
    return _noted(_at(rows, kept), *notes)._replace(warnings=(*rows.warnings, *warnings))


def check_size(rows: Rows, before: int, subject: str) -> None:
    """Refuses too few rows, of which there were `before`, and a table without columns."""
    n, d = rows.x.shape
    if not d:
        raise refuse(subject, "has no column", "it must have a column or more besides those taken")
    if n < LEAST_ROWS:
        left = f", and {n} without missing values and repetitions" if n < before else ""
        what = f"has {counted(before, 'row')}{left}"
        raise refuse(subject, what, f"it must have {LEAST_ROWS} or more")


def check_scale(table: np.ndarray, subject: str) -> np.ndarray:
    """The standard deviation of each column of a finite table, [d].

    Raises:
        ConfigError: where values are too large or too small to be squared.
    """
    deviation = deviations(table, *extent(table))
    with np.errstate(over="ignore", under="ignore"):
        scale = float(np.sqrt(np.mean(deviation**2)))
    if not LEAST_SCALE <= scale <= MOST_SCALE:
        raise refuse(
            subject,
            f"has a standard deviation of {scale:.3g}",
            f"multiply it by a number that brings it between {LEAST_SCALE:g} and {MOST_SCALE:g}",
        )
    return deviation


def classes_left(
    rows: Rows, classes: tuple[str, ...], subject: str
) -> tuple[Rows, tuple[str, ...]]:
    """The rows with places in the classes that still have some, and these classes.

    Raises:
        ConfigError: where there are fewer than two.
    """
    if rows.labels is None:
        return rows, ()
    used, places = np.unique(rows.labels, return_inverse=True)
    if len(used) < 2:
        what = f"has {counted(len(used), 'class')} in the rows that are left"
        raise refuse(subject, what, f"it must have 2 to {MOST_CLASSES}")
    if len(used) == len(classes):
        return rows, classes
    lost = [classes[k] for k in np.setdiff1d(np.arange(len(classes)), used)]
    noun = "class has" if len(lost) == 1 else "classes have"
    note = f"{len(lost)} {noun} no rows left: {named(lost)}"
    rows = _noted(rows._replace(labels=places.reshape(-1).astype(np.int64)), note)
    return rows, tuple(classes[k] for k in used)
