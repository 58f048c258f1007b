"""Images of a user's own, in a .npy or .npz file, with or without labels.

The header is read before any value is, so that no file makes this ask for more memory than the file
itself and the machine have.
"""

import functools
import hashlib
import math
import os
import zipfile
from pathlib import Path

import numpy as np

from mdvae.data.arrays import SPLIT_SEED
from mdvae.data.files import (
    FORMATS,
    LEAST_ROWS,
    SHOWN,
    Header,
    check_memory,
    content_of,
    map_values,
    read_header,
    read_values,
    refusal,
    unreadable,
)
from mdvae.data.image_files import Images, check_labels, sized
from mdvae.settings.fields import ConfigError

MOST_CHANNELS = 4
# One-hot labels of more classes would take more memory than images do.
MOST_CLASSES = 1_000
IMAGE_NAMES, LABEL_NAMES = ("images", "x"), ("labels", "y")


def _check_own(path: Path, name: str, header: Header, there: int, n: int) -> None:
    """Refuses images, or the labels of n images, by their header alone."""
    shape, dtype = header.shape, header.dtype
    if name in LABEL_NAMES:
        if dtype.kind not in "iu":
            raise refusal(path, f"has labels of type {dtype.name}", "they must be whole numbers")
        if shape not in ((n,), (n, 1)):
            what = f"has {n} images and labels of shape {sized(shape)}"
            raise refusal(path, what, "it must have one an image")
    else:
        if dtype != np.uint8 and dtype.kind != "f":
            right = "they must be uint8, or floats between 0 and 1"
            raise refusal(path, f"has images of type {dtype.name}", right)
        if len(shape) not in (3, 4) or min(shape[1:]) < 1:
            right = "it must be [n, h, w] or [n, h, w, channels]"
            raise refusal(path, f"has images of shape {sized(shape)}", right)
        if len(shape) == 4 and shape[3] > MOST_CHANNELS:
            right = f"the last axis must be the channels, {MOST_CHANNELS} or fewer"
            raise refusal(path, f"has images of shape {sized(shape)}", right)
        if shape[0] < LEAST_ROWS:
            raise refusal(path, f"has {shape[0]} images", f"it must have {LEAST_ROWS} or more")
    expected = math.prod(shape) * dtype.itemsize
    if expected > there:
        what = f"is cut short: {sized(shape)} values take {expected} bytes and {there} are there"
        raise refusal(path, what, "save it again")
    # Own values, and float32 of what is split and stacked.
    check_memory(path, expected + 8 * math.prod(shape), "images")


def _own_names(path: Path, names: list[str]) -> list[str]:
    """The name of the images in an archive, and that of the labels where there are some."""
    images, labels = (
        [name for name in names if name in usual] for usual in (IMAGE_NAMES, LABEL_NAMES)
    )
    if len(names) == 1 and not labels:
        return names
    if len(images) != 1 or len(labels) > 1:
        shown = ", ".join(map(repr, names[:SHOWN])) + (", ..." if len(names) > SHOWN else "")
        raise refusal(
            path,
            f"holds {shown or 'no array'}",
            "name its images 'images' or 'x' and their labels, if there are any, 'labels' or 'y'",
        )
    return images + labels


def _open_own(path: Path) -> list[np.ndarray]:
    """The images of a file, and labels where there are some; a .npy file is mapped, not read."""
    if path.suffix == ".npy":
        with open(path, "rb") as file:
            header, start = read_header(file), file.tell()
        _check_own(path, "x", header, os.path.getsize(path) - start, 0)
        return [map_values(path, header, start)]

    found: list[np.ndarray] = []
    with zipfile.ZipFile(path) as archive:
        names = [name[:-4] for name in archive.namelist() if name.endswith(".npy")]
        for name in _own_names(path, names):
            info = archive.getinfo(f"{name}.npy")
            with archive.open(info) as file:
                header = read_header(file)  # type: ignore[arg-type]
                n = len(found[0]) if found else 0
                _check_own(path, name, header, info.file_size - file.tell(), n)
                found.append(read_values(file, header))  # type: ignore[arg-type]
    return found


def read_own(path: Path) -> Images:
    """Images of a user's own: [n, h, w] or [n, h, w, channels] in a .npy or .npz file.

    They are uint8, or floats between 0 and 1. An .npz file may have their labels too.

    Raises:
        ConfigError: one line on what is wrong with the file.
    """
    if path.suffix not in FORMATS:
        raise refusal(path, "is not usable", "it must be a .npy or .npz file")
    if not path.is_file():
        raise refusal(path, "does not exist", "give a .npy or .npz file that does")
    try:
        x, *labels = _open_own(path)
    except ConfigError:
        raise
    except Exception as error:
        raise unreadable(path, error) from error
    low, high = x.min(), x.max()
    if x.dtype != np.uint8 and not (low >= 0 and high <= 1):
        what = "not a number" if math.isnan(low) else f"{float(low if low < 0 else high):g}"
        raise refusal(path, f"has the value {what}", "floats must be between 0 and 1")
    if low == high:
        raise refusal(path, "is constant", "its images must differ")
    x = x if x.ndim == 4 else x[..., None]
    if not labels:
        return Images(x, None)
    y = check_labels(path, labels[0], MOST_CLASSES, "data.path")
    # A number that no image has would be a class of its own.
    missing = np.setdiff1d(np.arange(y.max()), y)
    if missing.size:
        what = f"has the label {y.max()} and no label {missing[0]}"
        raise refusal(path, what, "number the labels from 0 on, without gaps")
    return Images(x, y)


def load_own(path: Path) -> tuple[Images, str]:
    """What `read_own` gives and a hash of it; kept for the next call."""
    facts = path.stat() if path.is_file() else None
    return _read_own(path, *((facts.st_mtime_ns, facts.st_size) if facts else (0, 0)))


def load_side(path: Path, content: str, held: int, split: str) -> Images:
    """The images of one side, of which "eval" has as many as are held out; uint8 or float32.

    Raises:
        ConfigError: where their hash is not that with which a run began.
    """
    images, found = load_own(path)
    if found != content:
        raise ConfigError(
            f"data.path: the images in {path} are not those that this run was begun with; restore"
            " them, or begin another run"
        )
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images.x))
    mine = order[:held] if split == "eval" else order[held:]
    x = images.x[mine]
    x = x if x.dtype == np.uint8 else x.astype(np.float32)
    return Images(x, None if images.y is None else images.y[mine])


@functools.lru_cache(maxsize=2)
def _read_own(path: Path, changed: int, size: int) -> tuple[Images, str]:
    """What `load_own` gives, as long as the file is not changed."""
    images = read_own(path)
    kind = "uint8" if images.x.dtype == np.uint8 else "float"
    words = [f"{kind} {images.x.shape}", content_of(images.x.reshape(len(images.x), -1))]
    if images.y is not None:
        words.append(content_of(images.y[:, None]))
    return images, f"sha256:{hashlib.sha256(' '.join(words).encode()).hexdigest()[:32]}"
