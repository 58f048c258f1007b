"""`load_run`: a run directory opened for a notebook, with its models to re-apply."""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdvae import checkpoint, rundir
from mdvae.config import SweepConfig
from mdvae.data.sets import make_samples
from mdvae.ensemble import unpad_like
from mdvae.grid import Cell, Group, make_cells, make_groups
from mdvae.methods import Method
from mdvae.methods.vae import cell_networks, vae
from mdvae.train import state_template

PyTree = Any


def make_method(config: SweepConfig, group: Group) -> Method:
    """The method that trains a group's cells."""
    return vae(group, config.steps, config.warmup)


class LoadedRun:
    """An opened run directory; see `load_run`.

    Attributes:
        path: of the directory.
        config: the `SweepConfig`.
        cells: its `Cell`s.
        seeds: the seeds.
        manifest: versions, device, and the status of every run.
        results: one dict per run, the columns of results.csv.
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
        self.summary = rundir.read_csv(path / rundir.SUMMARY)
        self.metrics = rundir.read_metrics(path)

    @cached_property
    def spectra(self) -> dict[tuple[str, int], np.ndarray]:
        """Per cell name and seed, [kappa] variance ratios by latent."""
        return {key: rows[0] for key, rows in self._arrays(rundir.SPECTRA, ("ratio",)).items()}

    @cached_property
    def blocks(self) -> dict[tuple[str, int], np.ndarray]:
        """Per cell name and seed, [2, blocks] means of nelbo and recon over parts of samples."""
        return self._arrays(rundir.BLOCKS, ("nelbo", "recon"))

    def _arrays(self, file: str, columns: Sequence[str]) -> dict[tuple[str, int], np.ndarray]:
        lines: dict[tuple[str, int], list[list[float]]] = {}
        for row in rundir.read_csv(self.path / file):
            values = [float("nan") if row[name] is None else float(row[name]) for name in columns]
            lines.setdefault((row["cell"], row["seed"]), []).append(values)
        return {key: np.array(values).T for key, values in lines.items()}

    @cached_property
    def _params(self) -> dict[tuple[str, int], PyTree]:
        found: dict[tuple[str, int], PyTree] = {}
        for part in self.manifest.get("slices", []):
            group = make_groups(self.cells, self.config.group_by)[part["group"]]
            method = make_method(self.config, group)
            runs = [(self.cell(name), seed) for name, seed in part["runs"]]
            template = state_template(method, group, len(runs))
            directory = rundir.slice_directory(self.path, part["group"], part["slice"])
            restored = checkpoint.restore(directory, template)
            if restored is None:
                continue
            for i, (cell, seed) in enumerate(runs):
                padded = jax.tree.map(lambda leaf, i=i: leaf[i], restored.state.train.params)
                shapes = jax.eval_shape(cell_networks(cell).init, jax.random.key(0))
                shapes["log_gamma"] = jax.ShapeDtypeStruct((), np.float32)
                found[cell.name, seed] = unpad_like(padded, shapes)
        return found

    def cell(self, name: str | Cell) -> Cell:
        """The cell of a name such as "kappa20-d30-r6".

        Raises:
            KeyError: one line with the names that there are.
        """
        for cell in self.cells:
            if name in (cell, cell.name):
                return cell
        raise KeyError(f"cell {name!r}: not in this run; cells: {', '.join(self._names())}")

    def _names(self) -> list[str]:
        return [cell.name for cell in self.cells]

    def _lookup(self, table: Mapping[tuple[str, int], Any], cell: str | Cell, seed: int) -> Any:
        key = (self.cell(cell).name, seed)
        if key not in table:
            raise KeyError(f"cell {key[0]}, seed {seed}: nothing saved yet; seeds: {self.seeds}")
        return table[key]

    def spectrum(self, cell: str | Cell, seed: int) -> np.ndarray:
        """Ratios of encoder to prior variance on fresh samples, [kappa], by latent."""
        return self._lookup(self.spectra, cell, seed)

    def params(self, cell: str | Cell, seed: int) -> PyTree:
        """Params of the newest checkpoint at the cell's true shapes, NumPy leaves."""
        return self._lookup(self._params, cell, seed)

    def encode(self, cell: str | Cell, seed: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and log variance of q(z | x), [n, kappa] each.

        Args:
            x: [n, d].
        """
        networks = cell_networks(self.cell(cell))
        mean, logvar = networks.encode(self.params(cell, seed), _columns(x, self.cell(cell).d))
        return np.asarray(mean).T, np.asarray(logvar).T

    def decode(self, cell: str | Cell, seed: int, z: np.ndarray) -> np.ndarray:
        """Mean of p(x | z), [n, d].

        Args:
            z: [n, kappa].
        """
        networks = cell_networks(self.cell(cell))
        columns = _columns(z, self.cell(cell).kappa)
        return np.asarray(networks.decode(self.params(cell, seed), columns)).T

    def samples(
        self, cell: str | Cell, seed: int, n: int = 10_000, purpose: str = "eval"
    ) -> np.ndarray:
        """Samples of a run's data manifold, [n, d].

        Args:
            purpose: "eval" (with n = n_eval, those the results were computed on) or "train".
        """
        found = self.cell(cell)
        return np.asarray(
            make_samples(
                seed,
                found.d,
                found.r,
                n=n,
                purpose=purpose,
                preset=self.config.preset,
                d_max=found.d,
                r_max=found.r,
                sigma=found.sigma or None,
            )
        ).T


def _columns(rows: np.ndarray, width: int) -> jax.Array:
    rows = np.asarray(rows, np.float32)
    if rows.ndim != 2 or rows.shape[1] != width:
        raise ValueError(f"shape {rows.shape} is not usable; it must be (n, {width})")
    return jnp.asarray(rows.T)


def load_run(path: str | os.PathLike[str]) -> LoadedRun:
    """Opens a run directory, finished or not, on any machine.

    Returns:
        A `LoadedRun` with cells, params at their true shapes, metrics, results, and functions to
        encode and decode with them.

    Raises:
        ConfigError: where `path` is not a run directory.
    """
    return LoadedRun(Path(path))
