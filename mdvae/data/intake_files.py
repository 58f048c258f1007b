"""Files that a user gives: a table, and with it what it is labelled or conditioned with.

The header of an array is read before any value is and nothing is unpickled, so that no file makes
this run code or ask for more memory than the machine has.
"""

import math
import os
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mdvae.data.files import (
    SAVE_AGAIN,
    Header,
    check_memory,
    map_values,
    read_header,
    read_values,
    unreadable,
)
from mdvae.data.intake_text import AS_TEXT, read_text, read_words, typed
from mdvae.data.intake_words import clean, column_names, named, quoted, refuse, sized
from mdvae.settings.fields import ConfigError

TEXTS, ARRAYS = (".csv", ".tsv"), (".npy", ".npz")
SUFFIXES = (*ARRAYS, *TEXTS, ".parquet")
ONE_OF_SUFFIXES = "a .npy, .npz, .csv, .tsv or .parquet file"
# Names by which an array of labels, or of what is given, is known among others.
USUAL = {"--labels": ("labels", "y"), "--given": ("given", "c")}


class Opened(NamedTuple):
    """What is in a file that has a table.

    Attributes:
        x: the table, an array [n, ...] or a frame of columns.
        columns: names of its columns; none of an array that has other than two axes.
        words: of columns that were asked for, by their place.
        others: arrays that were asked for, by name.
        notes: what was taken for granted in reading.
    """

    x: Any
    columns: tuple[str, ...]
    words: dict[int, list[str]]
    others: dict[str, np.ndarray]
    notes: tuple[str, ...]


def subject(field: str, path: Path) -> str:
    """How messages on a file begin."""
    return f"{field}: {clean(path)}"


def _check_header(path: Path, field: str, header: Header, there: int) -> None:
    """Refuses an array by its header alone; `there` are the bytes behind it."""
    about, (shape, _, dtype) = subject(field, path), header
    right = "it must hold real numbers" + (", or text" if field == "--labels" else "")
    if dtype.kind not in ("biufSU" if field == "--labels" else "biuf") or not dtype.itemsize:
        raise refuse(about, f"holds values of type {dtype.name}", right)
    if not shape or min(shape) < 0:
        raise refuse(about, f"has shape {sized(shape)}", "it must be [rows, columns]")
    expected = math.prod(shape) * dtype.itemsize
    if expected > there:
        what = f"is cut short: shape {sized(shape)} takes {expected} bytes and {there} are there"
        raise refuse(about, what, "save it again")
    # Own values, their double precision and what the networks are given.
    check_memory(path, math.prod(shape) * (dtype.itemsize + 8 + 4), "rows", field)


def _read_npy(path: Path, field: str) -> np.ndarray:
    with open(path, "rb") as file:
        header, start = read_header(file), file.tell()
    _check_header(path, field, header, os.path.getsize(path) - start)
    if not math.prod(header.shape):
        return np.zeros(header.shape, header.dtype)
    # Not mapped any longer, so that the file may change while networks are trained.
    return np.array(map_values(path, header, start))


def _members(archive: zipfile.ZipFile) -> list[str]:
    names = (info.filename for info in archive.infolist())
    return list(dict.fromkeys(name[:-4] for name in names if name.endswith(".npy")))


def _read_member(archive: zipfile.ZipFile, path: Path, name: str, field: str) -> np.ndarray:
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        header = read_header(file)  # type: ignore[arg-type]
        _check_header(path, field, header, info.file_size - file.tell())
        return read_values(file, header)  # type: ignore[arg-type]


def _open_npz(path: Path, name: str, labels: str, given: str) -> Opened:
    """An archive: one array is the table, and what `labels` and `given` name is read with it."""
    with zipfile.ZipFile(path) as archive:
        names = _members(archive)
        if not names:
            raise refuse(subject("FILE", path), "holds no array", "it must hold one")
        fields = dict.fromkeys(parts_of(given, names), "--given") | {labels: "--labels"}
        wanted = {part: field for part, field in fields.items() if part and part in names}
        left = [each for each in names if each not in wanted]
        if name and name not in left:
            why = "is named twice" if name in wanted else f"is not in {clean(path)}"
            right = f"it must be one of {named(left)}" if left else "its arrays are all named"
            raise refuse(f"--array: {quoted(name)}", why, right)
        if not name and len(left) != 1:
            what = f"missing; {clean(path)} has {'several arrays' if left else 'no other array'}"
            raise refuse("--array:", what, f"it must be one of {named(left or names)}")
        x = _read_member(archive, path, name or left[0], "FILE")
        others = {part: _read_member(archive, path, part, wanted[part]) for part in wanted}
    return Opened(x, column_names(None, x.shape[1] if x.ndim == 2 else 0), {}, others, ())


def _open_frame(path: Path, field: str) -> Any:
    """A frame of a .parquet file, if what reads it is installed."""
    about = subject(field, path)
    try:
        import pandas
    except ImportError as error:
        right = "pip install 'mdvae[notebooks]' pyarrow, or give a .csv or .npy file"
        raise refuse(about, "needs pandas and pyarrow to be read", right) from error
    check_memory(path, 2 * os.path.getsize(path), "rows", field)
    try:
        return pandas.read_parquet(path)
    except ImportError as error:
        right = "pip install pyarrow, or give a .csv or .npy file"
        raise refuse(about, "needs pyarrow to be read", right) from error


def parts_of(given: str, names: Collection[str]) -> list[str]:
    """The names that a text lists, or its own if there is one like it."""
    parts = [given] if given in names else [part.strip() for part in given.split(",")]
    return [part for part in parts if part]


def open_file(path: Path, name: str, labels: str, given: str) -> Opened:
    """What is in the file that has the table.

    Args:
        name: of the array, in an .npz file that has several.
        labels, given: names of what else is wanted of the file, if it has them.
    """
    kind = path.suffix.lower()
    if kind == ".npz":
        return _open_npz(path, name, labels, given)
    if name:
        raise ConfigError(f"--array: {quoted(name)} has no effect on a {kind} file; leave it out")
    if kind == ".npy":
        x = _read_npy(path, "FILE")
        return Opened(x, column_names(None, x.shape[1] if x.ndim == 2 else 0), {}, {}, ())
    if kind == ".parquet":
        frame = _open_frame(path, "FILE")
        return Opened(frame, column_names(list(frame.columns), frame.shape[1]), {}, {}, ())
    text = read_text(path, subject("FILE", path), {clean(labels)} if labels else ())
    return Opened(text.values, text.columns, text.words, {}, text.notes)


def guarded(path: Path, field: str, read: Callable[[], Any]) -> Any:
    """What `read` reads; a damaged file may fail in any way that its format has."""
    about, kind = subject(field, path), path.suffix.lower()
    if kind not in SUFFIXES:
        raise refuse(about, "is not usable", f"it must be {ONE_OF_SUFFIXES}")
    if not path.is_file():
        raise refuse(about, "does not exist", f"give {ONE_OF_SUFFIXES} that does")
    try:
        return read()
    except ConfigError:
        raise
    except Exception as error:
        right = SAVE_AGAIN if kind in ARRAYS else AS_TEXT if kind in TEXTS else "save it again"
        raise unreadable(Path(clean(path)), error, right, field) from error


def read_beside(path: Path, member: str, field: str, n: int) -> Any:
    """Labels, or what is given, of n rows in a file of their own."""
    kind, about = path.suffix.lower(), subject(field, path)
    if kind == ".npy":
        return _read_npy(path, field)
    if kind == ".npz":
        with zipfile.ZipFile(path) as archive:
            names = _members(archive)
            usual = [name for name in names if name in USUAL[field]]
            chosen = [member] if member else names if len(names) == 1 else usual
            if len(chosen) != 1 or chosen[0] not in names:
                right = f"name one as {field}={clean(path)}:NAME"
                raise refuse(about, f"holds {named(names) or 'no array'}", right)
            return _read_member(archive, path, chosen[0], field)
    if kind == ".parquet":
        return _open_frame(path, field)
    if field == "--labels":
        return typed(read_words(path, about, n))
    return read_text(path, about).values
