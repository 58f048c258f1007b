"""What makes an estimate of a table's dimension doubtful, and what is looked at for that."""

import hashlib

import numpy as np

from mdvae.data.files import LEAST_ROWS, chunks
from mdvae.data.intake_words import named, quoted
from mdvae.settings.words import counted

# Columns with more distinct values than this are taken for continuous; with fewer they are
# discrete if these are no more than a share of the rows, which is larger for whole numbers.
MOST_DISTINCT = 50
SHARE, SHARE_OF_WHOLE = 0.05, 0.2
# Rows that show that most columns have many values.
SOME_ROWS = 2_000
# Of the standard deviations of two columns.
LARGEST_RATIO = 1_000


def extent(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest value of each column of a finite table, [d] each."""
    low = high = np.asarray(table[0], np.float64)
    for _, rows in chunks(table):
        low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
    return low, high


def deviations(table: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The standard deviation of each column of a finite table, [d]; inf where it overflows."""
    n, middle = len(table), 0.5 * low + 0.5 * high
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        mean = middle + sum(np.sum(rows - middle, axis=0) / n for _, rows in chunks(table))
        variance = sum(np.sum((rows - mean) ** 2, axis=0) / n for _, rows in chunks(table))
    return np.sqrt(np.where(np.isnan(variance), np.inf, variance))


def first_of_equals(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows without their repetitions.

    Returns:
        The numbers of the rows that have none before them, in order; and for each row of the table
        the number of the first that equals it, [n].
    """
    digests = bytearray()
    for _, rows in chunks(table):
        rows = rows + 0.0  # -0.0 equals 0.0
        digests += b"".join(hashlib.blake2b(row, digest_size=16).digest() for row in rows)
    keys = np.frombuffer(bytes(digests), "V16")
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return np.sort(first), first[inverse.reshape(-1)]


def discrete_columns(table: np.ndarray) -> list[int]:
    """Places of columns with few distinct values: see `MOST_DISTINCT`."""
    n, found = len(table), []
    some = table[:: max(1, n // SOME_ROWS)]
    for j in range(table.shape[1]):
        if len(np.unique(some[:, j])) > MOST_DISTINCT:
            continue
        values = np.unique(table[:, j])
        whole = bool(np.all(values == np.floor(values)))
        share = SHARE_OF_WHOLE if whole else SHARE
        if len(values) <= MOST_DISTINCT and len(values) < share * n:
            found.append(j)
    return found


def row_numbers(table: np.ndarray) -> list[int]:
    """Places of columns of whole numbers that grow, or fall, with every row."""
    found = []
    head = np.asarray(table[:3], np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        first, second = np.diff(head, axis=0)
        likely = (first != 0) & (np.sign(first) == np.sign(second)) & (head[0] % 1 == 0)
        for j in np.flatnonzero(likely):
            values = np.asarray(table[:, j], np.float64)
            # Rows may have been left out of numbered ones.
            values = values[~np.isnan(values)]
            if np.all(values % 1 == 0) and np.all(np.sign(np.diff(values)) == np.sign(first[j])):
                found.append(int(j))
    return found


def of_row_numbers(table: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """A warning where columns seem to number the rows."""
    found = [names[j] for j in row_numbers(table)]
    if not found:
        return []
    grows = "grows or falls" if len(found) == 1 else "grow or fall"
    return [
        f"{counted(len(found), 'column')} of whole numbers ({named(found)}) {grows} with every"
        " row; a column that only numbers the rows is no part of the data and adds a dimension:"
        " leave it out"
    ]


def of_shape(n: int, d: int) -> list[str]:
    """A warning where there are more columns than rows."""
    if d <= n:
        return []
    return [
        f"{d} columns and {counted(n, 'row')}: so few rows say little about the dimension; an"
        " estimate may be far too low"
    ]


def of_discrete(names: tuple[str, ...]) -> list[str]:
    """A warning on discrete columns."""
    if not names:
        return []
    one = len(names) == 1
    return [
        f"{counted(len(names), 'column')} ({named(names)}) {'has' if one else 'have'} few distinct"
        " values; discrete columns count as dimensions only as far as a network treats their"
        " steps as a continuous range, so that each may count as one or as none: estimate without"
        " them too, or give them as what is known (given)"
    ]


def of_units(deviation: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """A warning where columns are in very different units."""
    small, large = int(np.argmin(deviation)), int(np.argmax(deviation))
    if deviation[large] <= LARGEST_RATIO * deviation[small]:
        return []
    return [
        f"column {quoted(names[large])} has a standard deviation of {deviation[large]:.2g} and"
        f" column {quoted(names[small])} one of {deviation[small]:.2g}; small columns may be taken"
        " for noise: if their units differ, divide each column by its standard deviation"
    ]


def of_classes(labels: np.ndarray | None, classes: tuple[str, ...]) -> list[str]:
    """A warning where classes have too few rows for an estimate of their own."""
    if labels is None:
        return []
    counts = np.bincount(labels, minlength=len(classes))
    few = [k for k in range(len(classes)) if counts[k] < LEAST_ROWS]
    if not few:
        return []
    shown = ", ".join(f"{quoted(classes[k])} ({counts[k]})" for k in few[:8])
    more = f" and {len(few) - 8} more" if len(few) > 8 else ""
    noun = "class has" if len(few) == 1 else "classes have"
    return [
        f"{len(few)} {noun} fewer than {LEAST_ROWS} rows ({shown}{more}) and"
        f" {'is' if len(few) == 1 else 'are'} not estimated by"
        f" {'itself' if len(few) == 1 else 'themselves'}"
    ]
