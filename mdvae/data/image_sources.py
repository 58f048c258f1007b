"""Named sets of images: what is known of each, and where its files are looked for.

In this order: `data.dir` and nothing else where it is set; otherwise the folder that
launch/get_data.sh fills, folders of the system's packages, and tensorflow-datasets, of which only
data that are prepared already are read. Nothing is ever downloaded here.

All hold the same images. In IDX and .npz files they have their first order; tensorflow-datasets
shuffles some, so that the first images of a test set are others there.
"""

import functools
import importlib.util
import os
import warnings
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from mdvae.data.files import refusal
from mdvae.data.image_files import Expected, Images, find_idx, read_idx, read_npz
from mdvae.settings.fields import ConfigError


class Known(NamedTuple):
    """What is known of a data set before it is read.

    Attributes:
        shape: of an image, (height, width, channels).
        classes: 0 where images have no labels.
        tfds: its name in tensorflow-datasets; "" for one that comes with this package.
    """

    n_train: int
    n_eval: int
    shape: tuple[int, int, int]
    classes: int
    tfds: str = ""


NAMED = {
    "mnist_sample": Known(1_600, 400, (28, 28, 1), 10),
    "fashion_sample": Known(1_600, 400, (28, 28, 1), 10),
    "mnist": Known(60_000, 10_000, (28, 28, 1), 10, "mnist"),
    "fashion_mnist": Known(60_000, 10_000, (28, 28, 1), 10, "fashion_mnist"),
    "cifar10": Known(50_000, 10_000, (32, 32, 3), 10, "cifar10"),
    "celeba": Known(162_770, 19_962, (64, 64, 3), 0, "celeb_a"),
}
SAMPLES = Path(__file__).parent / "samples"
# Where packages of Linux distributions put IDX files.
SYSTEM = {
    "mnist": ("/usr/share/datasets/mnist",),
    "fashion_mnist": ("/usr/share/datasets/fashion-mnist",),
}
# The CRC-32 of first images: files of these sets have the same names, sizes and labels.
FIRST_IMAGES = {
    0x90A92752: "mnist",
    0x7EB3CD06: "mnist",
    0xF270BEB5: "fashion_mnist",
    0x52830860: "fashion_mnist",
}
# The faces of CelebA, of 218 x 178, as rows and columns: what Dai and Wipf (2019) keep of them.
FACE = (slice(45, 173), slice(25, 153))


def cache_dir() -> Path:
    """The folder in which data sets have folders of their own, as launch/get_data.sh has it."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("MDVAE_DATA") or Path(cache) / "mdvae")


def folders(dataset: str, directory: str) -> list[Path]:
    """The folders in which a data set is looked for, in order."""
    if not NAMED[dataset].tfds:
        return [SAMPLES]
    if directory:
        return [Path(directory) / dataset, Path(directory)]
    return [cache_dir() / dataset, *map(Path, SYSTEM.get(dataset, ()))]


def expected(dataset: str, split: str) -> Expected:
    """What there must be of one side of a data set."""
    known = NAMED[dataset]
    return Expected(known.n_train if split == "train" else known.n_eval, known.shape, known.classes)


def load(dataset: str, directory: str, split: str) -> Images:
    """One side of a named data set, "train" or "eval", as read-only arrays; kept for the next call.

    Args:
        directory: `data.dir`; "" where it is not set.

    Raises:
        ConfigError: one line on what is wrong with a file, or where none was found.
    """
    looked = folders(dataset, directory)
    for folder in looked:
        idx = find_idx(folder, split, "images") if dataset in SYSTEM else None
        for path in (idx, folder / f"{dataset}.npz"):
            if path is not None and path.is_file():
                facts = path.stat()
                return _load_file(dataset, split, path, facts.st_mtime_ns, facts.st_size)
    if not directory and NAMED[dataset].tfds:
        try:
            return _load_prepared(dataset, split)
        except FileNotFoundError:
            pass
    raise _missing(dataset, looked, bool(directory))


def _missing(dataset: str, looked: list[Path], only: bool) -> ConfigError:
    """The error for a data set of which no files were found."""
    files, way = f"{dataset}.npz", f"tensorflow_datasets.data_source({NAMED[dataset].tfds!r})"
    way += " downloads and prepares it"
    if dataset in SYSTEM:
        files, way = f"IDX files or {files}", "launch/get_data.sh gets it"
    places = " or ".join(map(str, looked))
    if not only:
        there = importlib.util.find_spec("tensorflow_datasets")
        places += ", nor by tensorflow-datasets" + ("" if there else " (extra 'data')")
    return ConfigError(
        f"data.dataset: {dataset!r} was not found as {files} in {places}; {way}, and"
        " --config.data.dataset=mnist_sample needs no files"
    )


def _kept(images: Images) -> Images:
    """Images that several callers may share."""
    for each in images:
        if each is not None:
            each.flags.writeable = False
    return images


@functools.lru_cache(maxsize=4)
def _load_file(dataset: str, split: str, path: Path, changed: int, size: int) -> Images:
    """One side from IDX files or an .npz file, as long as these are not changed."""
    wanted = expected(dataset, split)
    images = (
        read_npz(path, split, wanted)
        if path.suffix == ".npz"
        else read_idx(path.parent, split, wanted)
    )
    if images is None:
        raise refusal(path, "is not there any more", "restore it", "data.dir")
    owner = FIRST_IMAGES.get(zlib.crc32(images.x[0].tobytes()), dataset)
    if dataset in SYSTEM and owner != dataset:
        # Both have labels that fit, so nothing else would tell.
        right = f"it must hold {dataset}"
        raise refusal(path, f"holds the images of {owner}", right, "data.dir")
    return _kept(images)


@functools.lru_cache(maxsize=4)
def _load_prepared(dataset: str, split: str) -> Images:
    """One side from tensorflow-datasets.

    Raises:
        FileNotFoundError: where it has not prepared it.
    """
    source = _prepared(dataset, split)
    if source is None:
        raise FileNotFoundError(dataset)
    return _load_source(dataset, split, source)


def _tfds() -> Any:
    """tensorflow-datasets, or None where it is not installed."""
    with warnings.catch_warnings():
        # Of its imports, on which nobody here has an influence.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            import tensorflow_datasets
        except ImportError:
            return None
    return tensorflow_datasets


def _prepared(dataset: str, split: str) -> Any:
    """One side as tensorflow-datasets has prepared it earlier; None where it has not."""
    tfds, name = _tfds(), NAMED[dataset].tfds
    if tfds is None:
        return None
    said = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # it warns of each data set that is not prepared
    try:
        return tfds.data_source(name, split="train" if split == "train" else "test", download=False)
    except Exception as error:
        # Data that are not there fail in several ways.
        if not tfds.builder(name).is_prepared():
            return None
        words = " ".join(str(error).split())[:100] or type(error).__name__
        raise ConfigError(
            f"data.dataset: {dataset!r} cannot be read from tensorflow-datasets ({words}); prepare"
            f" it again with tensorflow_datasets.data_source({name!r})"
        ) from error
    finally:
        logging.set_verbosity(said)


def crop_face(image: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The face of an image of CelebA, scaled to a shape; antialiased, as Pillow scales down."""
    from PIL import Image  # needed for this alone

    face = Image.fromarray(np.ascontiguousarray(image[FACE]))
    return np.asarray(face.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def _load_source(dataset: str, split: str, source: Any) -> Images:
    """One side from tensorflow-datasets; in the first order where examples have a number."""
    n, shape, classes = expected(dataset, split)
    if len(source) != n:
        raise ConfigError(
            f"data.dataset: tensorflow-datasets has {len(source)} images of the {split} side of"
            f" {dataset!r}; it must have {n}"
        )
    x, y, ids = np.empty((n, *shape), np.uint8), np.zeros(n, np.int64), []
    for i, example in enumerate(source):
        image = example["image"]
        x[i] = image if classes else crop_face(image, shape)
        if classes:
            y[i] = example["label"]
        ids.append(str(example.get("id", "")))
    if ids[0]:
        order = np.argsort(np.array(ids), kind="stable")
        x, y = x[order], y[order]
    return _kept(Images(x, y if classes else None))
