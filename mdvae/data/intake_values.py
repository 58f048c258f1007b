"""Numbers and labels out of arrays, lists and frames of any kind, and what in them is refused."""

import decimal
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from mdvae.data.files import chunks
from mdvae.data.intake_words import clean, column_names, quoted, refuse, sized
from mdvae.settings.words import counted

KEPT = (np.uint8, np.float32, np.float64)
MOST_CLASSES = 1_000
# Names of the types of values that are missing in frames.
NOTHING = ("NAType", "NaTType", "NoneType", "MaskedConstant")


def _array(values: Any, subject: str) -> np.ndarray:
    """Values as an array of NumPy; missing where they are masked."""
    try:
        found = values.to_numpy() if hasattr(values, "to_numpy") else values
        if isinstance(found, np.ma.MaskedArray):
            # Only floats and objects have room for what is missing.
            real = found.dtype.kind in "biuf"
            wide = np.array(found.data, np.float64 if real else object)
            wide[np.ma.getmaskarray(found)] = np.nan if real else None
            return wide
        if isinstance(found, list | tuple) and any(isinstance(each, str) for each in found):
            return np.array(found, object)  # not as wide as the longest text
        return np.asarray(found)
    except Exception as error:
        words = clean(error)[:100] or type(error).__name__
        raise refuse(subject, f"is no array ({words})", "it must be [rows, columns]") from error


def _is_missing(value: Any) -> bool:
    return type(value).__name__ in NOTHING or (isinstance(value, float) and value != value)


def _from_objects(table: np.ndarray, names: tuple[str, ...], subject: str) -> np.ndarray:
    """Numbers among objects, as frames of several types give them; nan where one is missing."""
    found = np.full(table.shape, np.nan)
    for j, name in enumerate(names):
        for i, value in enumerate(table[:, j]):
            if _is_missing(value):
                continue
            if not isinstance(value, numbers.Real | decimal.Decimal | np.bool_):
                is_text = isinstance(value, str | bytes)
                kind = "text" if is_text else f"values of type {type(value).__name__}"
                what = f"has {kind} in column {quoted(name)} ({quoted(value)} in row {i})"
                right = "leave it out, or give it as labels" if is_text else "leave it out"
                raise refuse(subject, what, right)
            try:
                found[i, j] = float(value)
            except (OverflowError, ValueError):  # of a whole number, and of a signalling nan
                found[i, j] = np.inf
    return found


def as_table(
    values: Any, columns: Sequence[object] | None, subject: str, least_axes: int = 2
) -> tuple[np.ndarray, tuple[str, ...], str]:
    """Numbers as rows.

    Args:
        values: an array [n, ...] of real numbers, or a frame.
        columns: names, where the values have none of their own.
        subject: how messages begin.
        least_axes: 1 where [n] is as good as [n, 1].

    Returns:
        The table [n, d], uint8, float32 or float64; names of its columns; how it was flattened.

    Raises:
        ConfigError: where the values are no real numbers, or of a wrong shape.
    """
    if columns is None and hasattr(values, "columns") and hasattr(values, "to_numpy"):
        columns = list(values.columns)
    table = _array(values, subject)
    if table.ndim < least_axes:
        what = f"has shape {sized(table.shape)}"
        right = "[rows] or [rows, columns]" if least_axes == 1 else "[rows, columns]"
        raise refuse(subject, what, f"it must be {right}")
    if table.dtype.kind not in "biufO":
        right = "it must hold real numbers"
        raise refuse(subject, f"holds values of type {table.dtype.name}", right)
    shape, d = table.shape, int(np.prod(table.shape[1:], dtype=object))
    if columns is not None and len(columns) != d:
        what = f"has {counted(d, 'column')} and {counted(len(columns), 'name')} of columns"
        raise refuse(subject, what, "each column must have one")
    table = table.reshape(len(table), d)
    names = column_names(columns, d)
    if table.dtype.kind == "O":
        table = _from_objects(table, names, subject)
    kind = next((kept for kept in KEPT if table.dtype.newbyteorder("=") == kept), np.float64)
    with np.errstate(over="ignore"):  # of wider floats; what is infinite then is refused
        table = np.ascontiguousarray(table, np.float32 if table.dtype == np.float16 else kind)
    flattened = f"each row, of shape {sized(shape[1:])}, was flattened to {counted(d, 'column')}"
    return table, names, flattened if len(shape) > 2 else ""


def missing_in(
    table: np.ndarray, names: tuple[str, ...], subject: str
) -> tuple[np.ndarray, np.ndarray]:
    """Where values are missing: whether in each row, [n], and how many of each column, [d].

    Raises:
        ConfigError: where a value is infinite.
    """
    rows, columns = np.zeros(len(table), bool), np.zeros(table.shape[1], np.int64)
    if table.dtype.kind != "f" or not table.size:
        return rows, columns
    for first, values in chunks(table):
        infinite = np.argwhere(np.isinf(values))
        if len(infinite):
            i, j = (int(place) for place in infinite[0])
            what = f"has {values[i, j]} in row {first + i}, column {quoted(names[j])}"
            raise refuse(subject, what, "it must hold finite numbers; leave such rows out")
        missing = np.isnan(values)
        rows[first : first + len(values)] = missing.any(axis=1)
        columns += missing.sum(axis=0)
    return rows, columns


def _label(value: Any, row: int, subject: str) -> str | int | None:
    """A label as text or as a whole number; None where it is missing."""
    if _is_missing(value):
        return None
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        return clean(value) or None
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real) and float(value).is_integer():
        return int(float(value))
    what = f"has the label {quoted(value)} in row {row}"
    raise refuse(subject, what, "labels must be whole numbers, booleans or text")


def as_labels(values: Any, n: int, subject: str, of: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels as places in their classes.

    Args:
        values: n whole numbers, booleans or texts.
        subject: how messages begin.
        of: what the n rows are of.

    Returns:
        The place of each label, [n]; the names of the classes, in order.

    Raises:
        ConfigError: where they are no labels, one is missing, or of too few or too many classes.
    """
    found = _array(values, subject)
    if found.ndim != 1 and not (found.ndim == 2 and found.shape[1] == 1):
        raise refuse(subject, f"has shape {sized(found.shape)}", "it must have one label a row")
    found = found.reshape(-1)
    check_rows(len(found), n, subject, of)
    if found.dtype.kind not in "biufOSU":
        what = f"holds values of type {found.dtype.name}"
        raise refuse(subject, what, "labels must be whole numbers, booleans or text")
    each = rows = np.arange(n)
    if found.dtype.kind != "O":
        found, rows, each = np.unique(found, return_index=True, return_inverse=True)
    labels = [
        _label(value, int(row), subject) for value, row in zip(found.tolist(), rows, strict=True)
    ]
    if None in labels:
        what = f"has no label in row {rows[labels.index(None)]}"
        raise refuse(subject, what, "each row must have one; leave such rows out")
    if any(isinstance(label, str) for label in labels):
        labels = list(map(str, labels))
    classes = sorted(set(labels))  # type: ignore[type-var]
    if not 2 <= len(classes) <= MOST_CLASSES:
        what = f"has {counted(len(classes), 'different label')}"
        raise refuse(subject, what, f"it must have 2 to {MOST_CLASSES}")
    place = {label: k for k, label in enumerate(classes)}
    codes = np.array([place[label] for label in labels], np.int64)
    return codes[each.reshape(-1)], tuple(map(str, classes))


def check_rows(found: int, n: int, subject: str, of: str) -> None:
    """Refuses what has other rows than the table; `of` is how messages on the table begin."""
    if found != n:
        what = f"has {counted(found, 'row')} and {of} has {n}"
        raise refuse(subject, what, "it must have as many")
