"""`load_run`: a run directory opened for a notebook, with its models to re-apply."""

import dataclasses
import math
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
from mdvae.data.sets import data_key, data_kind, make_batch
from mdvae.distributions import reparameterise
from mdvae.ensemble import unpad_like
from mdvae.grid import Cell, Group, make_cells, make_groups
from mdvae.keys import purpose_key
from mdvae.methods import Method
from mdvae.methods.vae import cell_networks, vae
from mdvae.networks import to_standard_prior
from mdvae.objective import gaussian_terms
from mdvae.train import state_template

PyTree = Any


def make_method(config: SweepConfig, group: Group) -> Method:
    """The method that trains a group's cells."""
    return vae(group, config.steps, config.warmup, config.ad_threshold)


class LoadedRun:
    """An opened run directory; see `load_run`.

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
        self.counts = rundir.read_csv(path / rundir.COUNTS)
        self.summary = rundir.read_csv(path / rundir.SUMMARY)
        self.metrics = rundir.read_metrics(path)

    @cached_property
    def spectra(self) -> dict[tuple[str, int], np.ndarray]:
        """Per cell name and seed, [parts, kappa] variance ratios by part of the data and latent."""
        found = {}
        for (name, seed), values in self._arrays(rundir.SPECTRA, ("ratio",)).items():
            shape = (len(self.cell(name).parts), self.cell(name).kappa)
            if values.size == math.prod(shape):
                found[name, seed] = values.reshape(shape)
        return found

    @cached_property
    def mean_spectra(self) -> dict[tuple[str, int], np.ndarray]:
        """Per cell name and seed, [kappa] variance ratios by latent, over all parts of the data."""
        return {key: ratios.mean(axis=0) for key, ratios in self.spectra.items()}

    @cached_property
    def blocks(self) -> dict[tuple[str, int], np.ndarray]:
        """Per cell name and seed, [2, blocks] means of nelbo and recon over parts of samples."""
        return self._arrays(rundir.BLOCKS, ("nelbo", "recon"))

    @cached_property
    def nelbo_metrics(self) -> list[rundir.Row]:
        """The lines of `metrics` from when nelbo is what is minimised: after the KL's warm-up."""
        first = {cell.name: cell.kl_warmup * self.config.steps for cell in self.cells}
        return [line for line in self.metrics if line["step"] > first[line["cell"]]]

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

    def spectrum(self, cell: str | Cell, seed: int, part: int | None = None) -> np.ndarray:
        """Ratios of encoder to prior variance on fresh samples, [kappa], by latent.

        Args:
            part: one of the cell's parts, as in spectra.csv; by default the mean over all.
        """
        if part is None:
            return self._lookup(self.mean_spectra, cell, seed)
        return self._lookup(self.spectra, cell, seed)[_place(self.cell(cell), part)]

    def is_saved(self, cell: str | Cell, seed: int) -> bool:
        """Whether there is a checkpoint of a run that can be read."""
        try:
            return (self.cell(cell).name, seed) in self._params
        except checkpoint.DamagedError:
            return False

    def params(self, cell: str | Cell, seed: int) -> PyTree:
        """Params of the newest checkpoint at the cell's true shapes, NumPy leaves."""
        return self._lookup(self._params, cell, seed)

    def _condition(self, cell: Cell, c: np.ndarray | None, n: int) -> jax.Array | None:
        if cell.c == 0:
            if c is not None:
                raise ValueError(f"c: has no effect on a VAE such as {cell.name}; leave it out")
            return None
        if c is None:
            raise ValueError(f"c: missing; {cell.name} is conditional and needs ({n}, {cell.c})")
        return _columns("c", c, cell.c, n)

    def encode(
        self, cell: str | Cell, seed: int, x: np.ndarray, c: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and log variance of q(z | x, c), [n, kappa] each.

        Args:
            x: [n, d].
            c: [n, c], for a conditional model.
        """
        found = self.cell(cell)
        columns = _columns("x", x, found.d)
        condition = self._condition(found, c, len(x))
        mean, logvar = cell_networks(found).encode(self.params(cell, seed), columns, condition)
        return np.asarray(mean).T, np.asarray(logvar).T

    def decode(
        self, cell: str | Cell, seed: int, z: np.ndarray, c: np.ndarray | None = None
    ) -> np.ndarray:
        """Mean of p(x | z, c), [n, d].

        Args:
            z: [n, kappa].
            c: [n, c], for a conditional model.
        """
        found = self.cell(cell)
        condition = self._condition(found, c, len(z))
        columns = _columns("z", z, found.kappa)
        return np.asarray(
            cell_networks(found).decode(self.params(cell, seed), columns, condition)
        ).T

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
        """The negative ELBO of each sample by one draw of z, nats, [n].

        In double precision: a trained gamma of 1e-7 magnifies the rounding of single precision.

        Args:
            x: [n, d].
            c: [n, c], for a conditional model.
            standard_prior: of the model without a learned prior that is the same by Remark 1 of
                CVAE-dims; see `networks.to_standard_prior`.
            draw: another number gives other z.
        """
        found, params = self.cell(cell), self.params(cell, seed)
        if standard_prior:
            params = to_standard_prior(params)
            found = dataclasses.replace(found, prior="standard")
        networks = cell_networks(found)
        inputs = (params, _columns("x", x, found.d), self._condition(found, c, len(x)))
        with jax.enable_x64(True):
            params, columns, condition = jax.tree.map(
                lambda leaf: jnp.asarray(leaf, np.float64), inputs
            )
            mean, logvar = networks.encode(params, columns, condition)
            key = jax.random.fold_in(purpose_key(seed, "nelbo"), draw)
            z = reparameterise(mean, logvar, jax.random.normal(key, mean.shape))
            x_hat = networks.decode(params, z, condition)
            prior = () if networks.prior is None else networks.prior(params, condition)
            shape = (params["log_gamma"], float(found.d))
            return np.asarray(gaussian_terms(columns, x_hat, mean, logvar, *shape, *prior).nelbo)

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
        """Samples of a trained model: z from the prior, given c where there is one; [n, d].

        Args:
            n: how many.
            c: [n, c] for a conditional model; a single row stands for all.
            noise: adds the decoder's own, of variance gamma; without it samples are means.
            draw: another number gives other samples.
        """
        found, params = self.cell(cell), self.params(cell, seed)
        networks = cell_networks(found)
        if c is not None and len(c) == 1:
            c = np.repeat(np.asarray(c), n, axis=0)
        condition = self._condition(found, c, n)
        key = jax.random.fold_in(purpose_key(seed, "generate"), draw)
        key_z, key_x = jax.random.split(key)
        z = jax.random.normal(key_z, (found.kappa, n))
        if networks.prior is not None:
            mean, logvar = networks.prior(params, condition)
            z = reparameterise(mean, logvar, z)
        x = networks.decode(params, z, condition)
        if noise:
            x = x + jnp.exp(0.5 * params["log_gamma"]) * jax.random.normal(key_x, x.shape)
        return np.asarray(x).T

    def batch(
        self,
        cell: str | Cell,
        seed: int,
        n: int = 10_000,
        purpose: str = "eval",
        part: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Samples [n, d] of a run's data and their conditions [n, c]; None where it has none.

        Args:
            purpose: "eval" or "train". Results were computed on n = n_eval of "eval", part by part.
            part: one of the cell's parts, as in parts.csv; by default all alternate.
        """
        found = self.cell(cell)
        if purpose not in ("eval", "train"):
            raise ValueError(f"purpose: {purpose!r} is not usable; it must be 'eval' or 'train'")
        kind = data_kind([found], self.config.preset)
        made = make_batch(
            data_key(found, seed), kind, n, purpose, None if part is None else _place(found, part)
        )
        return np.asarray(made["x"]).T, np.asarray(made["c"]).T if "c" in made else None

    def samples(
        self, cell: str | Cell, seed: int, n: int = 10_000, purpose: str = "eval"
    ) -> np.ndarray:
        """Samples of a run's data manifold, [n, d]; see `batch`."""
        return self.batch(cell, seed, n, purpose)[0]


def _place(cell: Cell, part: int) -> int:
    """Where a part of a cell's data stands among its parts."""
    values = [each.value for each in cell.parts]
    if part not in values:
        raise ValueError(f"part: {part} is not usable; {cell.name} has {values}")
    return values.index(part)


def _columns(name: str, rows: np.ndarray, width: int, n: int | None = None) -> jax.Array:
    rows = np.asarray(rows, np.float32)
    if rows.ndim != 2 or rows.shape[1] != width or n not in (None, len(rows)):
        right = f"({n or 'n'}, {width})"
        raise ValueError(f"{name}: shape {rows.shape} is not usable; it must be {right}")
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
