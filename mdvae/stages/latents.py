"""Data kind "latents": what the encoders of a trained sweep say of its data, of TwoStage.

A sample is z ~ q(z | x) of a training sample x of the first sweep, by its encoder in evaluation
mode, and is drawn anew in every step. Seed s of the second sweep sees the models of seed s of the
first.
"""

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdvae.data.base import EPOCH, Batch, DataKind, DataSizes
from mdvae.data.files import stamp
from mdvae.settings.fields import (
    TEXT,
    ConfigError,
    Rule,
    Section,
    fields_of,
    fixed,
    found,
    has_found,
    number,
    whole,
)
from mdvae.settings.grid import CELL_SECTIONS, Cell, Named, Sizes, make_cells
from mdvae.settings.registry import DATA
from mdvae.settings.sweep import SweepConfig
from mdvae.store import rundir
from mdvae.store.loading import LoadedRun, load_run
from mdvae.store.posteriors import draw_latents

_NAMES = Rule(
    lambda v: isinstance(v, tuple) and all(isinstance(n, str) for n in v), "a tuple of names", tuple
)
_NUMBERS = Rule(
    lambda v: isinstance(v, tuple) and all(isinstance(k, int) for k in v),
    "a tuple of whole numbers",
    tuple,
)


@dataclasses.dataclass(frozen=True)
class Latents(Section):
    """Latents of a first sweep.

    Attributes:
        first: its run directory.
        cell: the name of one of its cells.
        n_train: the first training samples of the first sweep, this many; 0 is all.
        n_eval: of its evaluation samples; 0 is all.
        first_config: a hash of what decides its numbers.
        cells: the names of its cells.
        kappas, trained, evaluated: of each, the width of its latents, and how many training and
            evaluation samples it has.
    """

    first: str = fixed("", TEXT, decides=False)
    cell: str = number("", TEXT)
    n_train: int = fixed(0, whole(0))
    n_eval: int = fixed(0, whole(0))
    first_config: str | None = found(TEXT, decides=True)
    cells: tuple[str, ...] | None = found(_NAMES)
    kappas: tuple[int, ...] | None = found(_NUMBERS)
    trained: tuple[int, ...] | None = found(_NUMBERS)
    evaluated: tuple[int, ...] | None = found(_NUMBERS)

    def completed(self) -> "Latents":
        """With what is found in the config of the first sweep."""
        if has_found(self, "data", "the first sweep"):
            return self
        if not self.first:
            raise ConfigError("data.first: missing; give the run directory of a first sweep")
        path = Path(self.first).absolute()
        config = rundir.read_config(path)
        cells = make_cells(config)
        for cell in cells:
            _check_first(cell)
        samples = [DATA.find(cell.data.kind).samples(cell.data) for cell in cells]
        return dataclasses.replace(
            self,
            first=str(path),
            first_config=hash_of(config),
            cells=tuple(cell.name for cell in cells),
            kappas=tuple(cell.sizes.kappa for cell in cells),
            trained=tuple(n_train for n_train, _ in samples),
            evaluated=tuple(n_eval for _, n_eval in samples),
        )

    def of_cell(self, values: tuple[int, ...] | None) -> int:
        """What belongs to the chosen cell of one of the found tuples; 1 where there is no cell."""
        return dict(zip(self.cells or (), values or (), strict=True)).get(self.cell, 1)


def _check_first(cell: Cell) -> None:
    """Refuses a first sweep whose latents say too little of its data by themselves."""
    if cell.is_told or cell.sizes.points:
        what = "of sequences" if cell.sizes.points else "of a CVAE"
        raise ConfigError(
            f"data.first: {cell.name} is {what}; a second stage needs the latents of a VAE"
        )


def hash_of(config: SweepConfig) -> str:
    """A short name for all that decides the numbers of a sweep, its seeds apart."""
    passed = {"seeds", "seed"}
    if not config.done_nats:
        passed |= {"eval_every", "done_nats", "done_share"}
    sections = [config, *(getattr(config, name) for name in CELL_SECTIONS if name != "analysis")]
    values = [
        [getattr(section, "kind", ""), name, getattr(section, name)]
        for section in sections
        for name, field in fields_of(section).items()
        if field.decides and name not in passed
    ]
    if config.done_nats:
        values.append(["", "log_every", config.log_every])
    text = json.dumps([config.grids, values], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Table(NamedTuple):
    """What a data set depends on."""

    first_config: str
    cell: str
    seed: int


@functools.lru_cache(maxsize=2)
def _opened(path: str, changed: int, size: int) -> LoadedRun:
    """The first sweep, finished; anew where its manifest was written since."""
    run = load_run(path)
    if run.manifest.get("status") != "done":
        raise ConfigError(f"data.first: {path} is not finished; train it first")
    return run


def first_of(settings: Latents, near: Path | None = None) -> LoadedRun:
    """The first sweep of some latents.

    Args:
        near: the run directory of the second; where both were moved together, the folder above it
            is looked at.

    Raises:
        ConfigError: where there is none, it is not finished, or it has become another one.
    """
    places = [Path(settings.first)]
    if near is not None:
        places.append(near.absolute().parent)
    for place in places:
        if (place / rundir.CONFIG).is_file() and (
            hash_of(rundir.read_config(place)) == settings.first_config
        ):
            return _opened(str(place), *stamp(place / rundir.MANIFEST))
    raise ConfigError(
        f"data.first: {settings.first} is not there any more, or was trained anew; restore it, or"
        " begin another second stage"
    )


def latents_of(
    run: LoadedRun, cell: str, seed: int, n: int, split: str
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of q(z | x) of the first n samples of a run's data.

    Args:
        split: "train" or "eval".

    Returns:
        [n, kappa] each, float32.
    """
    x, _ = run.batch(cell, seed, n, split)
    mean, logvar = run.encode(cell, seed, x[:n])
    return mean.astype(np.float32), np.exp(0.5 * logvar).astype(np.float32)


def _samples(settings: Any) -> tuple[int, int]:
    n_train, n_eval = (settings.of_cell(each) for each in (settings.trained, settings.evaluated))
    return settings.n_train or n_train, settings.n_eval or n_eval


def _make(law: Any, table: Table, n: int, split: str, part: int | None) -> dict[str, np.ndarray]:
    """Means and deviations of training samples; of others one draw each, which then stands still.

    Returns:
        {"x": [kappa, n], "sd": [kappa, n]}.
    """
    settings, _ = law
    mean, sd = latents_of(first_of(settings), table.cell, table.seed, n, split)
    if split == "eval":
        mean, sd = draw_latents(mean, sd, table.seed, draw=0), np.zeros_like(sd)
    return {"x": mean.T, "sd": sd.T}


def _check(settings: Any, named: Named) -> None:
    """Refuses a cell or a number of samples that the first sweep has not."""
    if settings.cell not in settings.cells:
        raise ConfigError(
            f"{named('cell')}: {settings.cell!r} is not a cell of {settings.first}; it must be one"
            f" of {', '.join(settings.cells)}"
        )
    for name, each in (("n_train", settings.trained), ("n_eval", settings.evaluated)):
        most = settings.of_cell(each)
        if getattr(settings, name) > most:
            raise ConfigError(
                f"data.{name}: {getattr(settings, name)} is more than the first sweep has; it"
                f" must be {most} or less, or 0 for all"
            )


def _drawn(batch: Batch, noise_KB: jax.Array) -> Batch:
    return {"x": batch["x"] + batch["sd"] * noise_KB}


def _noise(sizes: Sizes, key: jax.Array, n: int) -> jax.Array:
    return jax.random.normal(key, (sizes.d, n), jnp.float32)


DATA.add(
    "latents",
    DataKind(
        settings=Latents,
        sizes=lambda settings, told: DataSizes(settings.of_cell(settings.kappas)),
        samples=_samples,
        table=lambda settings, seed: Table(settings.first_config, settings.cell, seed),
        make=_make,
        shapes=lambda sizes: {"x": (sizes.d,), "sd": (sizes.d,)},
        noise=_noise,
        drawn=_drawn,
        order=EPOCH,
        traced=False,
        check=_check,
    ),
)
