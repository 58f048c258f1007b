"""Files of trained weights: .npz archives of float32 arrays by name, and a text on their origin.

What a file claims is held against what is expected of it before any of its values is read, and
nothing in it is ever unpickled.
"""

import json
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mdvae.data.files import read_header, read_values, refusal, unreadable
from mdvae.settings.fields import ConfigError

ABOUT = "about"
# Bytes of the text on the origin, at most.
MOST_TEXT = 2**16


class Weights(NamedTuple):
    """What a file of weights holds.

    Attributes:
        arrays: by name, float32.
        about: where they come from.
    """

    arrays: dict[str, np.ndarray]
    about: dict[str, Any]


def write_weights(path: Path, weights: Weights) -> None:
    """Writes a file of weights whole or not at all, compressed; equal weights give equal bytes."""
    temporary = path.with_name(f".{path.name}.tmp")
    text = json.dumps(weights.about, ensure_ascii=True, sort_keys=True)
    try:
        with open(temporary, "wb") as file:
            arrays: dict[str, Any] = {ABOUT: np.array(text), **weights.arrays}
            np.savez_compressed(file, **arrays)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_weights(
    path: Path, shapes: Mapping[str, tuple[int, ...]], field: str, right: str
) -> Weights:
    """The arrays of given names and shapes in a file, and the text on their origin.

    Args:
        field: what the user calls the file.
        right: what would be right, where the file is not.

    Raises:
        ConfigError: one line on what is wrong with the file.
    """
    if not path.is_file():
        raise refusal(path, "does not exist", right, field)
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {}
            for name, shape in shapes.items():
                array = _read(archive, name, shape)
                if array is None:
                    words = " x ".join(map(str, shape))
                    raise refusal(path, f"has no {name} of {words} float32 values", right, field)
                if not np.all(np.isfinite(array)):
                    raise refusal(path, f"has {name} that is not finite", right, field)
                arrays[name] = array
            about = _read_text(archive)
    except ConfigError:
        raise
    except Exception as error:
        # A damaged archive fails in any way that its format has.
        raise unreadable(path, error, right, field) from error
    if about is None:
        raise refusal(path, "does not say where it comes from", right, field)
    return Weights(arrays, about)


def _read(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """A float32 array of an archive; None where there is none of this name and shape."""
    if f"{name}.npy" not in archive.namelist():
        return None
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        header = read_header(file)  # type: ignore[arg-type]
        there = info.file_size - file.tell()
        wanted = header.dtype == np.float32 and header.shape == shape
        if not wanted or there != 4 * math.prod(shape):
            return None
        return read_values(file, header)  # type: ignore[arg-type]


def _read_text(archive: zipfile.ZipFile) -> dict[str, Any] | None:
    """The text on the origin; None where there is none."""
    if f"{ABOUT}.npy" not in archive.namelist():
        return None
    info = archive.getinfo(f"{ABOUT}.npy")
    if info.file_size > MOST_TEXT:
        return None
    with archive.open(info) as file:
        header = read_header(file)  # type: ignore[arg-type]
        if header.dtype.kind != "U" or header.shape != ():
            return None
        about = json.loads(str(read_values(file, header)))  # type: ignore[arg-type]
    return about if isinstance(about, dict) else None
