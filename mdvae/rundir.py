"""A run directory: what its files are, and `load_run`, which opens one for a notebook."""

import contextlib
import csv
import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None

from mdvae import checkpoint
from mdvae.config import ConfigError, SweepConfig, differences, from_json
from mdvae.ensemble import Run, unpad_like
from mdvae.grid import Cell, Group, make_cells, make_groups
from mdvae.methods import Method
from mdvae.methods.vae import cell_networks, vae
from mdvae.train import make_samples, state_template

PyTree = Any
Row = dict[str, Any]

CONFIG, MANIFEST, METRICS = "config.json", "manifest.json", "metrics.jsonl"
RESULTS, SUMMARY, SPECTRA = "results.csv", "summary.csv", "spectra.csv"
CHECKPOINTS, FIGURES = "checkpoints", "figures"


def write_atomic(path: Path, text: str) -> None:
    """Replaces a file whole: a reader, or a crash, sees the old text or the new."""
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def format_value(value: Any) -> str:
    """A CSV field; nine digits keep a float32 exactly, and nan or None is empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float | np.floating):
        return f"{float(value):.9g}"
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return str(value)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows of equal keys with a header."""
    lines = [list(rows[0])] if rows else []
    lines += [[format_value(value) for value in row.values()] for row in rows]
    quoted = (",".join(f'"{field}"' if "," in field else field for field in line) for line in lines)
    write_atomic(path, "".join(line + "\n" for line in quoted))


def parse_value(text: str) -> Any:
    """The inverse of `format_value` for numbers and names; an empty field is None."""
    if text == "":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def read_csv(path: Path) -> list[Row]:
    """Rows of a CSV file as dicts, numbers parsed."""
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return [
            {name: parse_value(text) for name, text in row.items()} for row in csv.DictReader(file)
        ]


def config_hash(config: SweepConfig) -> str:
    """A short name for a config's values."""
    text = json.dumps(config.to_json(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_config(path: Path) -> SweepConfig:
    """The config of a run directory.

    Raises:
        ConfigError: where `path` is not a run directory.
    """
    file = path / CONFIG
    if not file.is_file():
        raise ConfigError(f"{path}: not a run directory (it has no {CONFIG}); give one that has")
    try:
        return from_json(json.loads(file.read_text(encoding="utf-8")))
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as a config ({error}); restore it") from error


def open_directory(path: Path, config: SweepConfig) -> bool:
    """Makes a run directory for a config, or checks that an existing one belongs to it.

    Returns:
        Whether the directory held a run of this config already.

    Raises:
        ConfigError: where it cannot be written, holds something else, or another config.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".write-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"workdir: {path} cannot be written ({error.strerror}); give a folder that can"
        ) from error
    if (path / CONFIG).is_file():
        changes = differences(read_config(path), config)
        if changes:
            raise ConfigError(
                f"workdir: {path} belongs to another config ({'; '.join(changes)});"
                " give another --workdir, or the same values"
            )
        return True
    if any(path.iterdir()):
        raise ConfigError(
            f"workdir: {path} holds files but no {CONFIG}; give an empty or a new folder"
        )
    write_atomic(path / CONFIG, json.dumps(config.to_json(), indent=2) + "\n")
    return False


@contextlib.contextmanager
def lock_directory(path: Path) -> Iterator[None]:
    """Holds a run directory, so that two processes never train in it at once.

    Raises:
        ConfigError: where another process holds it.
    """
    with open(path / ".lock", "w") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ConfigError(
                    f"workdir: {path} is in use by another process; wait for it, or give another"
                ) from error
        yield


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest, or {} before the first one is written."""
    file = path / MANIFEST
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Replaces the manifest."""
    write_atomic(path / MANIFEST, json.dumps(manifest, indent=2) + "\n")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def append_metrics(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Appends one JSON line per run; what is not finite becomes null."""
    lines = [
        json.dumps({k: _finite(v) if isinstance(v, float) else v for k, v in row.items()})
        for row in rows
    ]
    with open(path / METRICS, "a", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))


def read_metrics(path: Path) -> list[Row]:
    """All lines of metrics; a last line that a crash cut short is left out."""
    file = path / METRICS
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def rewind_metrics(path: Path, runs: Sequence[Run], step: int) -> None:
    """Drops the lines of these runs after a step, which the resumed run will write again."""
    mine = {(run.cell.name, run.seed) for run in runs}
    kept = [
        json.dumps(row)
        for row in read_metrics(path)
        if row["step"] <= step or (row["cell"], row["seed"]) not in mine
    ]
    write_atomic(path / METRICS, "".join(line + "\n" for line in kept))


def slice_directory(path: Path, group: int, part: int) -> Path:
    """Where a slice of a group keeps its checkpoints."""
    return path / CHECKPOINTS / f"group{group}-slice{part}"


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
        self.config = read_config(path)
        self.cells = make_cells(self.config)
        self.seeds = tuple(range(self.config.seed, self.config.seed + self.config.seeds))
        self.manifest = read_manifest(path)
        self.results = read_csv(path / RESULTS)
        self.summary = read_csv(path / SUMMARY)
        self.metrics = read_metrics(path)

    @cached_property
    def _spectra(self) -> dict[tuple[str, int], np.ndarray]:
        spectra: dict[tuple[str, int], list[float]] = {}
        for row in read_csv(self.path / SPECTRA):
            ratio = float("nan") if row["ratio"] is None else float(row["ratio"])
            spectra.setdefault((row["cell"], row["seed"]), []).append(ratio)
        return {key: np.array(ratios) for key, ratios in spectra.items()}

    @cached_property
    def _params(self) -> dict[tuple[str, int], PyTree]:
        found: dict[tuple[str, int], PyTree] = {}
        for part in self.manifest.get("slices", []):
            group = make_groups(self.cells)[part["group"]]
            method = make_method(self.config, group)
            runs = [(self.cell(name), seed) for name, seed in part["runs"]]
            template = state_template(method, group, len(runs))
            directory = slice_directory(self.path, part["group"], part["slice"])
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
        return self._lookup(self._spectra, cell, seed)

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


def describe_cell(cell: Cell) -> Row:
    """A cell's coordinates as plain values, for the manifest."""
    return dataclasses.asdict(cell)
