"""Images of named data sets in files: IDX, plain or gzipped, and .npz.

What a file claims is held against what is expected of it before any of its values is read: no file
makes this ask for more memory than the images take.
"""

import gzip
import math
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdvae.data.files import SHOWN, Header, read_header, read_values, refusal, unreadable
from mdvae.settings.fields import ConfigError

AGAIN = "get it again"


class Expected(NamedTuple):
    """What is known of one side of a data set before it is read.

    Attributes:
        shape: of an image, (height, width, channels).
        classes: 0 where images have no labels.
    """

    n: int
    shape: tuple[int, int, int]
    classes: int


class Images(NamedTuple):
    """Images [n, height, width, channels], uint8 or floats in [0, 1]; labels [n], or None."""

    x: np.ndarray
    y: np.ndarray | None


def _refusal(path: Path, what: str, right: str) -> ConfigError:
    """The error for a file of a named data set."""
    return refusal(path, what, right, "data.dir")


def sized(shape: tuple[int, ...]) -> str:
    """A shape in words, of any length."""
    words = " x ".join(map(str, shape)) if len(shape) <= SHOWN else f"{len(shape)} axes"
    return words or "()"


def check_labels(path: Path, y: np.ndarray, classes: int, field: str = "data.dir") -> np.ndarray:
    """Labels as whole numbers [n], 0 to `classes` - 1.

    Raises:
        ConfigError: where one is another; `field` is what the user calls the file.
    """
    worst = int(y.max() if y.max() >= classes else y.min())
    if not 0 <= worst < classes:
        right = f"labels must be 0 to {classes - 1}"
        raise refusal(path, f"has the label {worst}", right, field)
    return y.astype(np.int64).reshape(-1)


def _read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The bytes of an IDX file, of which the shape is known."""
    magic = bytes((0, 0, 8, len(shape)))
    count = math.prod(shape)
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            head = file.read(4 + 4 * len(shape))
            # One byte more shows a file that is too long, and takes gzip to its checksum.
            values = file.read(count + 1) if head[:4] == magic else b""
    except Exception as error:
        raise unreadable(path, error, AGAIN, "data.dir") from error
    if head[:4] != magic:
        raise _refusal(path, f"begins with 0x{head[:4].hex()}", f"it must be 0x{magic.hex()}")
    dims = tuple(int(n) for n in np.frombuffer(head[4:], ">u4", len(head[4:]) // 4))
    if len(dims) == len(shape) and dims != shape:
        raise _refusal(path, f"holds {sized(dims)} values", f"it must hold {sized(shape)}")
    if len(dims) < len(shape) or len(values) < count:
        raise _refusal(path, f"is cut short at {len(head) + len(values)} bytes", AGAIN)
    if len(values) > count:
        raise _refusal(path, f"goes on after its {sized(shape)} values", AGAIN)
    return np.frombuffer(values, np.uint8).reshape(shape)


def find_idx(folder: Path, split: str, what: str) -> Path | None:
    """The IDX file with the "images" or "labels" of "train" or "eval", by its usual names."""
    side, axes = ("train" if split == "train" else "t10k"), (3 if what == "images" else 1)
    for dot in "-.":
        for end in ("", ".gz"):
            path = folder / f"{side}-{what}{dot}idx{axes}-ubyte{end}"
            if path.is_file():
                return path
    return None


def read_idx(folder: Path, split: str, expected: Expected) -> Images | None:
    """One side of a data set of grey images in IDX files of a folder; None where there are none.

    Raises:
        ConfigError: one line on what is wrong with a file.
    """
    images, labels = (find_idx(folder, split, what) for what in ("images", "labels"))
    if images is None:
        return None
    if labels is None:
        raise _refusal(images, "has no file of labels beside it", "put that there too")
    n, shape, classes = expected
    x = _read_idx(images, (n, *shape[:2]))
    y = _read_idx(labels, (n,))
    return Images(x.reshape(n, *shape), check_labels(labels, y, classes))


def _check_member(path: Path, name: str, header: Header, there: int, shapes: list) -> None:
    """Refuses an array of an archive by its header alone; its shape must be one of some."""
    if header.shape not in shapes:
        found = f"has {name} of shape {sized(header.shape)}"
        raise _refusal(path, found, f"it must have {sized(shapes[0])}")
    right = "iu" if name.startswith("y") else "u"
    if header.dtype.kind not in right or (right == "u" and header.dtype.itemsize > 1):
        kinds = "whole numbers" if right == "iu" else "uint8"
        raise _refusal(path, f"has {name} of type {header.dtype.name}", f"it must have {kinds}")
    expected = math.prod(header.shape) * header.dtype.itemsize
    if expected != there:
        raise _refusal(
            path, f"has {there} bytes of {name} and its head says {expected}", "save it again"
        )


def read_npz(path: Path, split: str, expected: Expected) -> Images | None:
    """One side of a data set in an .npz file that names its arrays as Keras does.

    These are x_train, y_train, x_test and y_test. None where there is no such file.

    Raises:
        ConfigError: one line on what is wrong with it.
    """
    if not path.is_file():
        return None
    n, shape, classes = expected
    side = "train" if split == "train" else "test"
    shapes = {f"x_{side}": [(n, *shape), (n, *shape[:2])][: 2 if shape[2] == 1 else 1]}
    if classes:
        shapes[f"y_{side}"] = [(n,), (n, 1)]
    try:
        with zipfile.ZipFile(path) as archive:
            found = {}
            for name, right in shapes.items():
                if f"{name}.npy" not in archive.namelist():
                    raise _refusal(path, f"has no array {name}", "it must have one")
                info = archive.getinfo(f"{name}.npy")
                with archive.open(info) as file:
                    header = read_header(file)  # type: ignore[arg-type]
                    _check_member(path, name, header, info.file_size - file.tell(), right)
                    found[name] = read_values(file, header)  # type: ignore[arg-type]
    except ConfigError:
        raise
    except Exception as error:
        raise unreadable(path, error, field="data.dir") from error
    y = check_labels(path, found[f"y_{side}"], classes) if classes else None
    return Images(np.ascontiguousarray(found[f"x_{side}"]).reshape(n, *shape), y)
