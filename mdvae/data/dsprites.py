"""Data kind "dsprites": sprites of known factors, of which u is the condition.

Images are [n, 64, 64, 1] of 0 and 1, or smaller; u is the place of each factor over all its places,
[n, 5] from 0 to 1, in the order shape, scale, orientation, x, y. They are read from the file of
dSprites where the user has it, and drawn otherwise (`sprites`).
"""

import dataclasses
import functools
import hashlib
import math
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from mdvae.data.base import EPOCH, Batch, DataKind, DataSizes, samples_first
from mdvae.data.files import stamp
from mdvae.data.sprites import FACTORS, NAMES, SIDE, draw
from mdvae.settings.fields import (
    TEXT,
    ConfigError,
    Rule,
    Section,
    fixed,
    found,
    has_found,
    is_whole,
    whole,
)
from mdvae.settings.grid import LEAST_EVALUATED, Named
from mdvae.settings.registry import DATA

# Of all images, where it is not said how many (published).
HELD_OUT = 0.1
# Which images are held out is the same for all seeds, as published.
SPLIT_SEED = 0
COUNT = math.prod(FACTORS)

_PLACES = Rule(
    lambda v: (
        isinstance(v, tuple)
        and len(v) == len(FACTORS)
        and all(is_whole(n) and 1 <= n <= most for n, most in zip(v, FACTORS, strict=True))
    ),
    f"five whole numbers of places, ({', '.join(NAMES)}), at most {FACTORS}",
    tuple,
)
_SIDES = Rule(lambda v: is_whole(v) and v in (SIDE, SIDE // 2), f"{SIDE} or {SIDE // 2}", int)


@dataclasses.dataclass(frozen=True)
class DSprites(Section):
    """Sprites, or some of them.

    Attributes:
        path: of dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz; "" draws the sprites.
        content: a hash of that file.
        places: how many of each factor's places there are, evenly spread from the first; all
            (3, 6, 40, 32, 32) are 737,280 images.
        side: pixels of a side; of 32, every second row and column of the images of 64.
        n_train, n_eval: images to train and to evaluate on, at random and apart; 0 is a tenth held
            out, and all others.
    """

    path: str = fixed("", TEXT, decides=False)
    places: tuple[int, ...] = fixed(FACTORS, _PLACES)
    side: int = fixed(SIDE, _SIDES)
    n_train: int = fixed(0, whole(0))
    n_eval: int = fixed(0, whole(0))
    content: str | None = found(TEXT, decides=True)

    def completed(self) -> "DSprites":
        """With a path that holds wherever a later command is called from, and what is there."""
        if has_found(self, "data", "the file", may=bool(self.path)) or not self.path:
            return self
        path = Path(self.path).expanduser().absolute()
        _check_file(path)
        return dataclasses.replace(self, path=str(path), content=_hash(str(path), stamp(path)))


class Table(NamedTuple):
    """What a data set depends on: the same for all seeds."""

    count: int


def _wrong(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"data.path: {str(path)!r} {why}; it must be the .npz file of dSprites, or '' to draw them"
    )


def _header(path: Path, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of an array of a .npz file, from the first bytes of it."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    return shape, dtype


def _check_file(path: Path) -> None:
    """Refuses a file that cannot be that of dSprites, by its arrays' shapes.

    Raises:
        ConfigError: one line.
    """
    try:
        images, images_type = _header(path, "imgs")
        places, places_type = _header(path, "latents_classes")
    except OSError as error:
        raise _wrong(path, f"cannot be read ({error.strerror or error})") from error
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise _wrong(path, "has no arrays imgs and latents_classes") from error
    if images != (COUNT, SIDE, SIDE) or images_type != np.uint8:
        raise _wrong(path, f"has images of shape {images} and type {images_type}")
    if places != (COUNT, 1 + len(FACTORS)) or places_type.kind not in "iu":
        raise _wrong(path, f"has factors of shape {places} and type {places_type}")


def _kept(places: tuple[int, ...]) -> list[np.ndarray]:
    """The places of each factor that there are: evenly spread, from the first on."""
    return [np.arange(n) * most // n for n, most in zip(places, FACTORS, strict=True)]


@functools.lru_cache(maxsize=2)
def _hash(path: str, stamped: tuple[int, int]) -> str:
    """A hash of a file, computed once as long as it is not changed."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.lru_cache(maxsize=2)
def all_images(
    path: str, places: tuple[int, ...], side: int = SIDE, content: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """All images, [n, side, side, 1] as uint8, and the places of their factors, [n, 5].

    Args:
        content: the hash of the file that there was when the config was made.

    Raises:
        ConfigError: where the file has other values than dSprites, or others than it had.
    """
    if path:
        _check_file(Path(path))
        if content is not None and _hash(path, stamp(Path(path))) != content:
            raise _wrong(Path(path), "is not the file that it was")
    grids = np.meshgrid(*_kept(places), indexing="ij")
    factors = np.stack([grid.ravel() for grid in grids], axis=1)
    if not path:
        images = draw(factors)
    else:
        with np.load(path, allow_pickle=False) as file:
            found = np.asarray(file["latents_classes"])[:, 1:]
            rows = np.ravel_multi_index(tuple(factors.T), FACTORS)
            # Colour apart, images stand in the order of their factors.
            if not np.array_equal(found[rows], factors):
                raise _wrong(Path(path), "has its factors in another order")
            images = np.asarray(file["imgs"])[rows]
        if images.max() > 1:
            raise _wrong(Path(path), f"has pixels of {images.max()}, not 0 and 1")
    step = SIDE // side
    return np.ascontiguousarray(images[:, ::step, ::step, None]), factors


def _counts(settings: Any) -> tuple[int, int]:
    """Images to train on, and to evaluate on."""
    total = math.prod(settings.places)
    n_eval = settings.n_eval or round(HELD_OUT * total)
    return settings.n_train or total - n_eval, n_eval


def _make(law: Any, table: Table, n: int, split: str, part: int | None) -> dict[str, np.ndarray]:
    """Up to n images [n, side, side, 1] of one split, and u [n, 5]."""
    settings, _ = law
    n_train, n_eval = _counts(settings)
    given = settings.path, settings.places, settings.side, settings.content
    images, factors = all_images(*given)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
    rows = order[:n_eval] if split == "eval" else order[n_eval : n_eval + n_train]
    widths = np.maximum([kept[-1] for kept in _kept(settings.places)], 1)
    u = (factors[rows[:n]] / widths).astype(np.float32)
    return {"x": images[rows[:n]], "c": u}


def _seen(batch: Batch) -> Batch:
    return {name: x.astype(jnp.float32) for name, x in batch.items()}


def _check(settings: Any, named: Named) -> None:
    """Refuses more images than there are, and too few to evaluate on."""
    total, (n_train, n_eval) = math.prod(settings.places), _counts(settings)
    if n_train < 1 or n_eval + n_train > total:
        raise ConfigError(
            f"data.n_train: {settings.n_train} images beside {n_eval} held out are more than the"
            f" {total} of data.places {settings.places}; there must be no more"
        )
    if n_eval < LEAST_EVALUATED:
        raise ConfigError(
            f"data.n_eval: {n_eval} of {total} images are held out; it must be {LEAST_EVALUATED} or"
            " more"
        )


DATA.add(
    "dsprites",
    DataKind(
        settings=DSprites,
        sizes=lambda settings, told: DataSizes(
            settings.side**2, len(FACTORS) if told else 0, shape=(settings.side, settings.side, 1)
        ),
        samples=_counts,
        table=lambda settings, seed: Table(math.prod(settings.places)),
        make=_make,
        shapes=samples_first,
        dtypes=lambda settings: {"x": np.uint8},
        seen=_seen,
        sample_axis=0,
        order=EPOCH,
        traced=False,
        check=_check,
    ),
)
