"""Tables and sequences of numbers in .npy and .npz files: what is one, and what is refused.

The header is read before any value is, so that no file makes this ask for more memory than the file
itself and the machine have.
"""

import hashlib
import math
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import psutil

from mdvae.settings.fields import ConfigError

FORMATS = (".npy", ".npz")
# Fewer rows are no sample of a manifold that a network could learn from.
LEAST_ROWS = 100
# Values that are looked at together.
CHUNK = 2**20
# Beyond these, squares of values leave the range of single precision.
LEAST_SCALE, MOST_SCALE = 1e-12, 1e12
SHOWN = 8
GIB = 2**30
NUMERALS = {2: "two", 3: "three"}


class Header(NamedTuple):
    """What the head of an array in a file says of it."""

    shape: tuple[int, ...]
    column_major: bool
    dtype: np.dtype


class Facts(NamedTuple):
    """What is to be known of a table, in its own units.

    Attributes:
        content: a hash of shape and values, whatever the format and the dtype they are kept in.
        mean, low, high: of each column, [d].
        scale: root of the variance, mean over columns.
    """

    content: str
    rows: int
    d: int
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    scale: float


TABLE, SEQUENCES = ("rows", "columns"), ("sequences", "points", "columns")

SAVE_AGAIN = "save it again with numpy.save or numpy.savez"


def refusal(path: Path, what: str, right: str, field: str = "data.path") -> ConfigError:
    """The error for a file that cannot be used; `right` says what would be."""
    return ConfigError(f"{field}: {path} {what}; {right}")


def unreadable(
    path: Path, error: Exception, right: str = SAVE_AGAIN, field: str = "data.path"
) -> ConfigError:
    """The error for a damaged file, which may fail in any way that its format has."""
    words = " ".join(str(error).split())[:100] or type(error).__name__
    return refusal(path, f"cannot be read ({words})", right, field)


def stamp(path: Path) -> tuple[int, int]:
    """When a file was changed last, in nanoseconds, and its bytes; (0, 0) where there is none."""
    try:
        facts = path.stat()
    except OSError:
        return 0, 0
    return facts.st_mtime_ns, facts.st_size


def check_memory(path: Path, needed: int, what: str, field: str = "data.path") -> None:
    """Refuses a file that needs more bytes than are free; `what` there should be fewer of."""
    free = psutil.virtual_memory().available
    if needed > free:
        raise refusal(
            path,
            f"needs about {needed / GIB:.1f} GiB and {free / GIB:.1f} are free",
            f"give fewer {what}",
            field,
        )


def read_header(file: BinaryIO) -> Header:
    """The head of an array in NumPy's format; what follows it in the file are its values."""
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise ValueError(f"an array of format {version[0]}.{version[1]}")
    return Header(*read[version](file))


def map_values(path: Path, header: Header, start: int) -> np.ndarray:
    """The values of a .npy file from byte `start` on, mapped and not read."""
    order = "F" if header.column_major else "C"
    return np.memmap(path, header.dtype, "r", start, header.shape, order)


def read_values(file: BinaryIO, header: Header) -> np.ndarray:
    """The values behind the head of an array in an archive; read to the end, for its checksum."""
    count = math.prod(header.shape) * header.dtype.itemsize
    # A size that the archive only states is found out here, at what is really there.
    values = np.frombuffer(file.read(count), header.dtype)
    while file.read(CHUNK):
        pass
    return values.reshape(header.shape, order="F" if header.column_major else "C")


def _check(path: Path, header: Header, there: int, axes: tuple[str, ...]) -> None:
    """Refuses an array by its header alone.

    Args:
        there: bytes behind the header.
        axes: what each is called.
    """
    shape, dtype = header.shape, header.dtype
    if dtype.kind not in "iuf":
        raise refusal(path, f"holds values of type {dtype.name}", "it must hold real numbers")
    if len(shape) != len(axes):
        what = f"shape {shape}" if len(shape) <= SHOWN else f"{len(shape)} axes"
        words = f"{', '.join(axes[:-1])} and {axes[-1]}"
        raise refusal(path, f"has {what}", f"it must have {NUMERALS[len(axes)]} axes, {words}")
    if min(shape) < 0 or shape[-1] == 0:
        raise refusal(path, f"has shape {shape}", "it must have a column or more")
    if math.prod(shape[:-1]) < LEAST_ROWS:
        each = " of all sequences together" if axes == SEQUENCES else ""
        raise refusal(
            path,
            f"has {math.prod(shape[:-1])} {axes[-2]}{each}",
            f"it must have {LEAST_ROWS} or more",
        )
    expected = math.prod(shape) * dtype.itemsize
    if expected > there:
        size = " x ".join(map(str, shape))
        raise refusal(
            path,
            f"is cut short: {size} values take {expected} bytes and {there} are there",
            "save it again",
        )
    # Own values, their double precision and what the networks are given.
    check_memory(path, math.prod(shape) * (dtype.itemsize + 8 + 4), axes[0])


def _open_npy(path: Path, axes: tuple[str, ...]) -> np.ndarray:
    with open(path, "rb") as file:
        header = read_header(file)
        start = file.tell()
    _check(path, header, os.path.getsize(path) - start, axes)
    return map_values(path, header, start)


def _open_npz(path: Path, name: str, axes: tuple[str, ...]) -> np.ndarray:
    with zipfile.ZipFile(path) as archive:
        members = {
            info.filename.removesuffix(".npy"): info
            for info in archive.infolist()
            if info.filename.endswith(".npy")
        }
        names = ", ".join(map(repr, list(members)[:SHOWN])) + (
            f" and {len(members) - SHOWN} more" if len(members) > SHOWN else ""
        )
        if not members:
            raise refusal(path, "holds no array", "it must hold one")
        if name not in members and (name or len(members) > 1):
            what = f"{name!r} is not in {path}" if name else f"missing; {path} has several arrays"
            raise ConfigError(f"data.array: {what}; it must be one of {names}")
        info = members[name] if name else next(iter(members.values()))
        with archive.open(info) as file:
            header = read_header(file)  # type: ignore[arg-type]
            _check(path, header, info.file_size - file.tell(), axes)
            return read_values(file, header)  # type: ignore[arg-type]


def open_table(path: str, name: str = "", axes: tuple[str, ...] = TABLE) -> np.ndarray:
    """The table of a file, [n, d] of any real dtype; a .npy file is mapped, not read.

    Args:
        name: of an array in an .npz file that has several.
        axes: what each is called; those of SEQUENCES for an array [n, points, d].

    Raises:
        ConfigError: one line on what is wrong with the file.
    """
    file = Path(path)
    if not path:
        raise ConfigError("data.path: missing; give a .npy or .npz file")
    if file.suffix not in FORMATS:
        raise refusal(file, "is not usable", "it must be a .npy or .npz file")
    if not file.is_file():
        raise refusal(file, "does not exist", "give a .npy or .npz file that does")
    if name and file.suffix == ".npy":
        raise ConfigError(f"data.array: {name!r} has no effect on a .npy file; leave it out")
    try:
        return _open_npy(file, axes) if file.suffix == ".npy" else _open_npz(file, name, axes)
    except ConfigError:
        raise
    except Exception as error:
        raise unreadable(file, error) from error


def chunks(table: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Rows of a table in double precision, some at a time, with the number of the first."""
    size = max(1, CHUNK // table.shape[1])
    for first in range(0, len(table), size):
        with np.errstate(over="ignore"):  # of wider floats; what is infinite then is refused
            yield first, np.ascontiguousarray(table[first : first + size], np.float64)


def content_of(table: np.ndarray) -> str:
    """A hash of the shape and of the values of a table."""
    digest = hashlib.sha256(f"{table.shape}".encode())
    for _, rows in chunks(table):
        digest.update(rows.data)
    return f"sha256:{digest.hexdigest()[:32]}"


def describe(path: str, table: np.ndarray, length: int = 0) -> Facts:
    """What is to be known of a table.

    Args:
        length: where rows are points of sequences that follow one another, of how many each.

    Raises:
        ConfigError: where a value is not finite, where all rows are the same, and where values are
            too large or too small to be squared.
    """
    n, d = table.shape
    file = Path(path)
    low, high = np.full(d, np.inf), np.full(d, -np.inf)
    for first, rows in chunks(table):
        bad = np.argwhere(~np.isfinite(rows))
        if len(bad):
            i, j = (int(place) for place in bad[0])
            sequence, point = divmod(first + i, length) if length else (0, first + i)
            place = f"sequence {sequence}, point {point}" if length else f"row {point}"
            raise refusal(
                file,
                f"has {rows[i, j]} in {place}, column {j}",
                f"it must hold finite numbers; leave such {'sequences' if length else 'rows'} out",
            )
        low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
    if np.all(low == high):
        raise refusal(file, "is constant", "its rows must differ")
    # From the middle of each column, so that no sum is large where the spread is small.
    middle = 0.5 * low + 0.5 * high
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        mean = middle + sum(np.sum(rows - middle, axis=0) / n for _, rows in chunks(table))
        squares = sum(float(np.sum((rows - mean) ** 2)) / n for _, rows in chunks(table))
    scale = math.sqrt(squares / d)
    if not LEAST_SCALE <= scale <= MOST_SCALE:
        raise refusal(
            file,
            f"has a standard deviation of {scale:.3g}",
            f"multiply it by a number that brings it between {LEAST_SCALE:g} and {MOST_SCALE:g}",
        )
    return Facts(content_of(table), n, d, mean, low, high, scale)
