"""`load_run`: a run directory opened for a notebook, with its models to re-apply."""

import math
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mdvae.data.base import PyTree
from mdvae.methods.base import make_method
from mdvae.methods.padding import padded_shapes, true_shapes, unpad_like
from mdvae.settings.grid import Cell, Group, make_cells
from mdvae.settings.sweep import SweepConfig
from mdvae.store import checkpoint, rundir, slices
from mdvae.store.frames import NAMES, frame_of
from mdvae.store.models import Model
from mdvae.store.samples import batch_of, place_of, stretches_of


class LoadedRun:
    """An opened run directory; see `load_run`.

    Samples x are [n, ...], [n, d] of vectors, and conditions [n, c].

    Attributes:
        path: of the directory.
        config: the `SweepConfig`.
        cells: its `Cell`s.
        seeds: the seeds.
        manifest: versions, device, and the status of every run.
        results: one dict per run, the columns of results.csv.
        parts: one dict per run and part of the data, the columns of parts.csv, if there are any.
        counts: how many active dimensions how many samples have, the columns of counts.csv.
        summary: one dict per cell, the columns of summary.csv.
        metrics: one dict per run and logged step, the lines of metrics.jsonl.
    """

    def __init__(self, path: Path):
        self.path = path
        self.config = rundir.read_config(path)
        self.cells = make_cells(self.config)
        self.seeds = tuple(range(self.config.seed, self.config.seed + self.config.seeds))
        self.manifest = rundir.read_manifest(path)
        self.results = rundir.read_csv(path / rundir.RESULTS)
        self.parts = rundir.read_csv(path / rundir.PARTS)
        self.counts = rundir.read_csv(path / rundir.SAMPLE_COUNTS)
        self.summary = rundir.read_csv(path / rundir.SUMMARY)
        self.metrics = rundir.read_metrics(path)
        self._slices: dict[tuple[int, int], PyTree | None] = {}

    def __repr__(self) -> str:
        n = len(self.cells), len(self.seeds)
        done = f"{len(self.results)} of {n[0] * n[1]} runs done"
        return f"LoadedRun({str(self.path)!r}: {n[0]} cells x {n[1]} seeds, {done})"

    def frame(self, name: str = "results") -> Any:
        """A `pandas.DataFrame` of results, summary, parts, counts or metrics; needs pandas."""
        return frame_of(name, {each: getattr(self, each) for each in NAMES})

    @cached_property
    def spectra(self) -> dict[tuple[str, int], np.ndarray]:
        """Per cell name and seed, [parts, kappa] variance ratios by part of the data and latent."""
        found = {}
        read = rundir.read_arrays(self.path / rundir.SPECTRA, ("ratio",))
        for (name, seed), values in read.items():
            shape = (len(self.cell(name).parts), self.cell(name).sizes.kappa)
            if values.size == math.prod(shape):
                found[name, seed] = values.reshape(shape)
        return found

    @cached_property
    def mean_spectra(self) -> dict[tuple[str, int], np.ndarray]:
        """Per cell name and seed, [kappa] variance ratios by latent, over all parts of the data."""
        return {key: ratios.mean(axis=0) for key, ratios in self.spectra.items()}

    @cached_property
    def blocks(self) -> dict[tuple[str, int], np.ndarray]:
        """Per cell name and seed, [2, blocks] means of nelbo and recon over blocks of samples.

        Those that a method does not score are nan.
        """
        return rundir.read_arrays(self.path / rundir.BLOCKS, ("nelbo", "recon"))

    @cached_property
    def _groups(self) -> tuple[Group, ...]:
        return slices.groups_of(self.config, self.manifest)

    @cached_property
    def _where(self) -> dict[tuple[str, int], tuple[int, int, int]]:
        """Per run: its group, its slice, and its row there."""
        return {
            (cell, seed): (*place, row)
            for place, runs in rundir.runs_of_slices(self.manifest).items()
            for row, (cell, seed) in enumerate(runs)
        }

    def _models(self, group: int, index: int) -> PyTree | None:
        """Params and stats of a slice's runs, stacked and padded; None where nothing is saved."""
        if (group, index) not in self._slices:
            method = make_method(self._groups[group], self.config.steps)
            shapes = padded_shapes(method, self._groups[group])
            runs = rundir.runs_of_slices(self.manifest)[group, index]
            template = jax.tree.map(
                lambda leaf: np.zeros((len(runs), *leaf.shape), leaf.dtype),
                (shapes.params, shapes.stats),
            )
            directory = rundir.slice_directory(self.path, group, index)
            names = rundir.run_names(self.path, runs)
            restored = checkpoint.restore(directory, {checkpoint.MODEL: template}, names)
            found = None if restored is None else restored.items[checkpoint.MODEL]
            self._slices[group, index] = found
        return self._slices[group, index]

    def _model(self, cell: str | Cell, seed: int) -> tuple[PyTree, PyTree]:
        """Params and stats of a run at its true shapes.

        Raises:
            KeyError: where there is no checkpoint of it.
        """
        found = self.cell(cell)
        group, index, row = self._where.get((found.name, seed), (0, -1, 0))
        stacked = None if index < 0 else self._models(group, index)
        if stacked is None:
            raise KeyError(f"cell {found.name}, seed {self._seed(seed)}: no checkpoint yet")
        method = make_method(Group((found,), found.sizes), self.config.steps)
        true = true_shapes(method, found)
        own = jax.tree.map(lambda leaf: leaf[row], stacked)
        return unpad_like(own, (true.params, true.stats))

    def cell(self, name: str | Cell) -> Cell:
        """The cell of a name such as "kappa20-d30-r6".

        Raises:
            KeyError: one line with the names that there are.
        """
        for cell in self.cells:
            if name in (cell, cell.name):
                return cell
        shown = name.name if isinstance(name, Cell) else name
        names = ", ".join(cell.name for cell in self.cells)
        raise KeyError(f"cell {shown!r}: not in this run; cells: {names}")

    def _seed(self, seed: int) -> int:
        """A seed of this run.

        Raises:
            KeyError: one line with the seeds that there are.
        """
        if seed not in self.seeds:
            seeds = ", ".join(map(str, self.seeds))
            raise KeyError(f"seed {seed!r}: not in this run; seeds: {seeds}")
        return seed

    def _lookup(self, table: Mapping[tuple[str, int], Any], cell: str | Cell, seed: int) -> Any:
        key = (self.cell(cell).name, self._seed(seed))
        if key not in table:
            done = ", ".join(str(s) for s in self.seeds if (key[0], s) in table) or "none"
            raise KeyError(f"cell {key[0]}, seed {seed}: no results yet; seeds that have: {done}")
        return table[key]

    def spectrum(self, cell: str | Cell, seed: int, part: int | None = None) -> np.ndarray:
        """Ratios of encoder to prior variance on fresh samples, [kappa], by latent.

        Args:
            part: one of the cell's parts, as in spectra.csv; by default the mean over all.
        """
        if part is None:
            return self._lookup(self.mean_spectra, cell, seed)
        return self._lookup(self.spectra, cell, seed)[place_of(self.cell(cell), part)]

    def is_saved(self, cell: str | Cell, seed: int) -> bool:
        """Whether there is a checkpoint of a run that can be read."""
        try:
            self._model(cell, seed)
        except (KeyError, checkpoint.DamagedError):
            return False
        return True

    def params(self, cell: str | Cell, seed: int) -> PyTree:
        """Params of the newest checkpoint at the cell's true shapes, NumPy leaves."""
        return self._model(cell, seed)[0]

    def stats(self, cell: str | Cell, seed: int) -> PyTree:
        """What the networks have beside params, such as a fitted whitening; NumPy leaves."""
        return self._model(cell, seed)[1]

    def model(self, cell: str | Cell, seed: int) -> Model:
        """The trained model of a run; see `models.Model`.

        Raises:
            KeyError: where there is no checkpoint of it.
        """
        found = self.cell(cell)
        return Model(found, seed, self.config.steps, *self._model(found, seed))

    def encode(
        self, cell: str | Cell, seed: int, x: np.ndarray, c: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and log variance of q(z | x, c), [n, kappa] each; see `models.Model.encode`."""
        return self.model(cell, seed).encode(x, c)

    def decode(
        self, cell: str | Cell, seed: int, z: np.ndarray, c: np.ndarray | None = None
    ) -> np.ndarray:
        """Mean of p(x | z, c), [n, ...]; see `models.Model.decode`."""
        return self.model(cell, seed).decode(z, c)

    def nelbo(
        self,
        cell: str | Cell,
        seed: int,
        x: np.ndarray,
        c: np.ndarray | None = None,
        *,
        standard_prior: bool = False,
        draw: int = 0,
    ) -> np.ndarray:
        """The negative ELBO of each sample, nats, [n]; see `models.Model.nelbo`."""
        return self.model(cell, seed).nelbo(x, c, standard_prior=standard_prior, draw=draw)

    def generate(
        self,
        cell: str | Cell,
        seed: int,
        n: int = 1_000,
        c: np.ndarray | None = None,
        *,
        noise: bool = False,
        draw: int = 0,
    ) -> np.ndarray:
        """Samples of a trained model, [n, ...]; see `models.Model.generate`."""
        return self.model(cell, seed).generate(n, c, noise=noise, draw=draw)

    def roll_out(
        self,
        cell: str | Cell,
        seed: int,
        points: int,
        n: int = 1_000,
        past: np.ndarray | None = None,
        *,
        noise: bool = False,
        draw: int = 0,
    ) -> np.ndarray:
        """Sequences that a model draws point by point, [n, points, d]; see `Model.roll_out`."""
        return self.model(cell, seed).roll_out(points, n, past, noise=noise, draw=draw)

    def stretches(
        self, cell: str | Cell, seed: int, points: int, n: int, purpose: str = "eval"
    ) -> np.ndarray:
        """Stretches of a run's sequences that do not overlap; see `samples.stretches_of`."""
        return stretches_of(self.cell(cell), self._seed(seed), points, n, purpose)

    def batch(
        self,
        cell: str | Cell,
        seed: int,
        n: int = 10_000,
        purpose: str = "eval",
        part: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Samples [n, ...] of a run's data and their conditions [n, c]; None where it has none.

        Args:
            purpose: "eval" or "train". Results were computed on n = n_eval of "eval", part by part.
            part: one of the cell's parts, as in parts.csv; by default all of them mixed.
        """
        found = self.cell(cell)
        place = None if part is None else place_of(found, part)
        return batch_of(found, self._seed(seed), n, purpose, place)

    def samples(
        self, cell: str | Cell, seed: int, n: int = 10_000, purpose: str = "eval"
    ) -> np.ndarray:
        """Samples of a run's data, [n, ...]; see `batch`."""
        return self.batch(cell, seed, n, purpose)[0]


# Trains a sweep in a folder, or what is left of it.
TrainSweep = Callable[[SweepConfig, Path], LoadedRun]


def load_run(path: str | os.PathLike[str]) -> LoadedRun:
    """Opens a run directory, finished or not, on any machine.

    Returns:
        A `LoadedRun` with cells, params at their true shapes, metrics, results, and functions to
        encode and decode with them.

    Raises:
        ConfigError: where `path` is not a run directory.
    """
    return LoadedRun(Path(path))
