"""Data kind "images": named data sets, two samples that come with mdvae, or a user's own file.

Images are [n, height, width, channels], kept as uint8 and seen by the networks as float32 in
[0, 1]. Labels, where there are some, make a condition "c", one-hot. No dimension is known.
"""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from mdvae.data.base import EPOCH, Batch, DataKind, DataSizes, samples_first
from mdvae.data.files import LEAST_ROWS
from mdvae.data.image_files import Images as Read
from mdvae.data.image_own import load_own, load_side
from mdvae.data.image_sources import NAMED, load
from mdvae.settings.fields import (
    TEXT,
    TRUTH,
    ConfigError,
    Rule,
    Section,
    fixed,
    found,
    has_found,
    is_number,
    number,
    one_of,
    static,
    whole,
)
from mdvae.settings.grid import LEAST_EVALUATED, Named, Part
from mdvae.settings.registry import DATA

OWN_FILE = "file"
DATASETS = (*NAMED, OWN_FILE)
UNIT, SHIFTED = "unit", "shifted"
# Of a file, where it is not said how many.
HELD_OUT = 0.2
# Of an even share of the test images, what is evaluated of each class; all have so many.
EVEN_SHARE = 0.8

_IMAGES = Rule(
    lambda v: is_number(v) and (0 <= v < 1 or v == int(v) > 0),
    "0 for all of a test set or a fifth of a file, a number of images, or a fraction of a file",
    float,
)


@dataclasses.dataclass(frozen=True)
class Images(Section):
    """A data set of images, and what was found in it where it is a user's own.

    Attributes:
        dataset: a named one, or "file". Data sets of equal shape and counts share a program.
        dir: the folder with the files of named data sets, or with a folder of that name for each;
            where it is "", see `image_sources`.
        path: of a .npy or .npz file, for the data set "file".
        n_train: the first training images, this many; 0 is all.
        n_eval: the first test images, this many, and 0 all of them; of a file, how many are held
            out, as a fraction or a number, and 0 a fifth.
        pixels: what images are evaluated as: "unit", in [0, 1] as they are trained on; "shifted",
            0.001 + 0.998 times that, as the published evaluation of CVAE-dims has them.
        by_class: whether the images of each class are evaluated apart; of named data sets the first
            of each, 80 % of an even share, so that all classes count alike.
        content: a hash of images and labels of a file.
        rows, height, width, colours: of the images of a file.
        classes: of the labels of a file; 0 where it has none.
        pixel_type: "uint8" or "float32", what the images of a file are kept as.
    """

    dataset: str = number("mnist_sample", one_of(DATASETS))
    dir: str = fixed("", TEXT, decides=False)
    path: str = fixed("", TEXT, decides=False)
    n_train: int = fixed(0, whole(0))
    n_eval: float = fixed(0.0, _IMAGES)
    pixels: str = static(UNIT, one_of((UNIT, SHIFTED)))
    by_class: bool = fixed(False, TRUTH)
    content: str | None = found(TEXT, decides=True)
    rows: int | None = found(whole(1))
    height: int | None = found(whole(1))
    width: int | None = found(whole(1))
    colours: int | None = found(whole(1))
    classes: int | None = found(whole(0))
    pixel_type: str | None = found(one_of(("uint8", "float32")))

    def completed(self) -> "Images":
        """With what is found in a user's own file; of named data sets it is known."""
        if has_found(self, "data", "the file", may=self.dataset == OWN_FILE):
            return self
        here = dataclasses.replace(self, dir=_absolute(self.dir), path=_absolute(self.path))
        if self.dataset != OWN_FILE:
            if self.path:
                raise ConfigError(
                    f"data.path: {self.path!r} has no effect with data.dataset {self.dataset!r};"
                    " leave it out, or set data.dataset to 'file'"
                )
            return here
        if not self.path:
            raise ConfigError("data.path: missing; give a .npy or .npz file")
        images, content = load_own(Path(here.path))
        rows, height, width, channels = images.x.shape
        return dataclasses.replace(
            here,
            content=content,
            rows=rows,
            height=height,
            width=width,
            colours=channels,
            classes=0 if images.y is None else int(images.y.max()) + 1,
            pixel_type="uint8" if images.x.dtype == np.uint8 else "float32",
        )


class Table(NamedTuple):
    """What a data set depends on: the same for all seeds."""

    dataset: str
    content: str


def _absolute(path: str) -> str:
    """A path that holds wherever a later command is called from."""
    return str(Path(path).expanduser().absolute()) if path else ""


def _shape(settings: Images) -> tuple[int, ...]:
    """(height, width, channels)."""
    if settings.dataset == OWN_FILE:
        return settings.height, settings.width, settings.colours  # type: ignore[return-value]
    return NAMED[settings.dataset].shape


def _classes(settings: Images) -> int:
    """How many classes there are; 0 where images have no labels."""
    own = settings.dataset == OWN_FILE
    return (settings.classes or 0) if own else NAMED[settings.dataset].classes


def _counts(settings: Images) -> tuple[int, int]:
    """All images to train on, and all to evaluate on; of a file n_eval decides."""
    if settings.dataset != OWN_FILE:
        known = NAMED[settings.dataset]
        return known.n_train, known.n_eval
    rows, share = settings.rows or 0, settings.n_eval or HELD_OUT
    held = max(LEAST_EVALUATED, round(share * rows)) if share < 1 else int(share)
    return rows - held, held


def _samples(settings: Images) -> tuple[int, int]:
    """Images to train on, and images to evaluate on, all classes together."""
    n_train, n_eval = _counts(settings)
    some = settings.dataset != OWN_FILE and settings.n_eval
    return settings.n_train or n_train, int(settings.n_eval) if some else n_eval


def _check(settings: Images, named: Named) -> None:
    """Refuses images that are not there, and classes of images without labels."""
    dataset = settings.dataset
    if dataset == OWN_FILE and settings.content is None:
        raise ConfigError(
            f"{named('dataset')}: 'file' is no value of an axis beside others; leave it out, or set"
            " data.dataset to 'file'"
        )
    n_train, n_eval = _counts(settings)
    if dataset == OWN_FILE and (n_eval < LEAST_EVALUATED or n_train < LEAST_ROWS - LEAST_EVALUATED):
        raise ConfigError(
            f"data.n_eval: {settings.n_eval:g} holds out {n_eval} of {settings.rows} images and"
            f" leaves {n_train}; it must hold out {LEAST_EVALUATED} or more and leave"
            f" {LEAST_ROWS - LEAST_EVALUATED} or more"
        )
    if dataset != OWN_FILE and 0 < settings.n_eval < LEAST_EVALUATED:
        raise ConfigError(
            f"data.n_eval: {settings.n_eval:g} is not usable with the test set of {dataset!r}; it"
            f" must be {LEAST_EVALUATED} images or more, or 0 for all"
        )
    for field, there, side in (("n_train", n_train, "training"), ("n_eval", n_eval, "test")):
        if getattr(settings, field) > there:
            raise ConfigError(
                f"data.{field}: {getattr(settings, field):g} is more than the {there} {side} images"
                f" of {dataset!r}; it must be {there} or less, or 0 for all"
            )
    if settings.by_class and not _classes(settings):
        raise ConfigError(f"data.by_class: {dataset!r} has no labels; it must be False")


def _read(settings: Images, table: Table, split: str) -> Read:
    """All images of one side; see `load` and `load_side`."""
    if table.dataset != OWN_FILE:
        return load(table.dataset, settings.dir, split)
    return load_side(Path(settings.path), table.content, _counts(settings)[1], split)


def _rows_of_class(settings: Images, y: Any, label: int) -> np.ndarray:
    """Places of the test images of a class that are evaluated on, by the labels y [n] of all.

    Raises:
        ConfigError: where these are too few.
    """
    rows = np.flatnonzero(y == label)
    if settings.dataset != OWN_FILE:
        # As many of each class and data set, so that one program serves all.
        rows = rows[: int(EVEN_SHARE * _samples(settings)[1] / _classes(settings))]
    if len(rows) < LEAST_EVALUATED:
        raise ConfigError(
            f"data.n_eval: {settings.n_eval:g} leaves {len(rows)} images of class {label} of"
            f" {settings.dataset!r}; it must leave {LEAST_EVALUATED} or more of each"
        )
    return rows


def _make(law: Any, table: Table, n: int, split: str, part: int | None) -> dict[str, np.ndarray]:
    """Up to n images [n, h, w, channels] of one side, and of one class where `part` is one.

    Raises:
        ConfigError: see `load`, `load_side`, and `_rows_of_class`, the latter before training too.
    """
    settings = dataclasses.replace(law[0], dataset=table.dataset)
    x, y = _read(settings, table, split)
    if split == "eval":
        rows = np.arange(_samples(settings)[1])
        if part is not None and settings.by_class and y is not None:
            rows = _rows_of_class(settings, y, part)
        x, y = x[rows], None if y is None else y[rows]
    elif settings.by_class:
        # What is wrong with the evaluation is said before hours of training, not after.
        labels = _read(settings, table, "eval").y
        for k in range(_classes(settings)):
            _rows_of_class(settings, labels, k)
    x, y = x[:n], None if y is None else y[:n]
    if split == "eval" and settings.pixels == SHIFTED:
        x = np.float32(0.001) + np.float32(0.998) * _in_unit(x)
    if y is None:
        return {"x": x}
    return {"x": x, "c": (y[:, None] == np.arange(_classes(settings))).astype(np.uint8)}


def _in_unit(x: Any) -> Any:
    """Images as float32 in [0, 1]: uint8 divided by 255, floats as they are."""
    return x.astype(jnp.float32) / 255.0 if x.dtype == jnp.uint8 else x


def _seen(batch: Batch) -> Batch:
    """Images in [0, 1] and one-hot labels, float32."""
    return {
        name: _in_unit(x) if name == "x" else x.astype(jnp.float32) for name, x in batch.items()
    }


def _sizes(settings: Images, told: bool) -> DataSizes:
    shape = _shape(settings)
    d = shape[0] * shape[1] * shape[2]
    return DataSizes(d=d, c=_classes(settings) if told else 0, shape=shape)


def _dtypes(settings: Images) -> dict[str, Any]:
    own_floats = settings.dataset == OWN_FILE and settings.pixel_type == "float32"
    return {"x": np.float32 if own_floats else np.uint8, "c": np.uint8}


def _parts(settings: Images) -> tuple[Part, ...]:
    if not settings.by_class:
        return (Part(),)
    return tuple(Part(value=k) for k in range(_classes(settings)))


DATA.add(
    "images",
    DataKind(
        settings=Images,
        sizes=_sizes,
        samples=_samples,
        table=lambda settings, seed: Table(
            settings.dataset, settings.content or "" if settings.dataset == OWN_FILE else ""
        ),
        make=_make,
        shapes=samples_first,
        dtypes=_dtypes,
        seen=_seen,
        sample_axis=0,
        parts=_parts,
        part_name="class",
        order=EPOCH,
        traced=False,
        check=_check,
    ),
)
