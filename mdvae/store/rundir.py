"""A run directory: what its files are, how they are written and read."""

import csv
import dataclasses
import functools
import hashlib
import io
import json
import math
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdvae.data.files import stamp
from mdvae.settings.config import SweepConfig, differences, from_json
from mdvae.settings.fields import ConfigError, shown
from mdvae.settings.grid import format_axis, make_cells
from mdvae.settings.growth import obstacles
from mdvae.settings.registry import SECTIONS
from mdvae.store import opening, records
from mdvae.store.kinds import check_kinds
from mdvae.store.lock import LOCK
from mdvae.store.records import COLUMNS, Row, check_manifest, parse_json

ID = "id"
CONFIG, MANIFEST, METRICS = "config.json", "manifest.json", "metrics.jsonl"
RESULTS, SUMMARY = "results.csv", "summary.csv"
SPECTRA, BLOCKS = "spectra.csv", "blocks.csv"
PARTS, SAMPLE_COUNTS, RESOLVABLE = "parts.csv", "counts.csv", "resolvable.csv"
CHECKPOINTS, FIGURES = "checkpoints", "figures"
# Before the names of scores on held-out samples, in a line of metrics.
HELD_OUT = "eval_"
# The variance ratios among these, a list by latent.
RATIOS = HELD_OUT + "ratio"


def write_atomic(path: Path, text: str) -> None:
    """Replaces a file whole: a reader, or a crash, sees the old text or the new."""
    with opening.replacing(path) as file:
        file.write(text.encode("utf-8"))


def format_value(value: Any) -> str:
    """A CSV field; nine digits keep a float32 exactly, and nan or None is empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float | np.floating):
        return f"{float(value):.9g}"
    return format_axis(value)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows with a header of all their keys, in the order in which they come."""
    header = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header] if rows else [])
    writer.writerows([format_value(row.get(name)) for name in header] for row in rows)
    write_atomic(path, text.getvalue())


@functools.lru_cache(maxsize=4)
def _runs_of(path: Path, changed: tuple[int, int]) -> tuple[frozenset[str], range]:
    """The names of the cells of a run directory, and its seeds; anew where its config changed."""
    config = read_config(path)
    names = frozenset(cell.name for cell in make_cells(config))
    return names, range(config.seed, config.seed + config.seeds)


def read_csv(path: Path) -> list[Row]:
    """Rows of a CSV file as dicts, numbers parsed; none where there is no file.

    Raises:
        ConfigError: where it cannot be read, or has not what files of its name have.
    """
    rows, config = records.read_csv(path), path.parent / CONFIG
    if path.name in COLUMNS and rows and opening.is_there(config):
        names, seeds = _runs_of(path.parent, stamp(config))
        for row in rows:
            if row["cell"] not in names or row["seed"] not in seeds:
                told = f"cell {shown(row['cell'])}, seed {row['seed']}"
                raise ConfigError(f"{path}: {told}: is of no run of {CONFIG}; restore it")
    return rows


def read_arrays(path: Path, columns: Sequence[str]) -> dict[tuple[str, int], np.ndarray]:
    """Some columns of a CSV file by cell name and seed, [columns, lines]; an empty field is nan."""
    lines: dict[tuple[str, int], list[list[float]]] = {}
    for row in read_csv(path):
        values = [float("nan") if row.get(name) is None else float(row[name]) for name in columns]
        lines.setdefault((row["cell"], row["seed"]), []).append(values)
    return {key: np.array(values).T for key, values in lines.items()}


def describe_sections(config: SweepConfig) -> dict[str, dict[str, str]]:
    """The kind of each section, and a short name for its values: for the manifest."""

    def short(section: Any) -> str:
        text = json.dumps(dataclasses.asdict(section), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    sections = {name: getattr(config, name) for name in SECTIONS}
    return {name: {"kind": each.kind, "hash": short(each)} for name, each in sections.items()}


def read_config(path: Path) -> SweepConfig:
    """The config of a run directory.

    Raises:
        ConfigError: where `path` is not a run directory.
    """
    file = path / CONFIG
    if not opening.is_there(file):
        raise ConfigError(f"{path}: not a run directory (it has no {CONFIG}); give one that has")
    try:
        values = dict(parse_json(file, " as a config"))
        values.pop(ID, None)
        check_kinds(values, path)
        return from_json(values)
    except ConfigError as error:
        named = str(error) if str(error).startswith(str(file)) else f"{file}: {error}"
        raise ConfigError(named) from error
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        why = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{file}: cannot be read as a config ({why}); restore it") from error


def _read_id(path: Path) -> str:
    """What tells a run directory from all others, copies of it apart; "" before it has one."""
    file = path / CONFIG
    values = parse_json(file) if opening.is_there(file) else {}
    return str(values.get(ID, "")) if isinstance(values, dict) else ""


def write_config(path: Path, config: SweepConfig) -> None:
    """Replaces the config of a run directory, which gets an id with its first one."""
    values = {**config.to_json(), ID: _read_id(path) or secrets.token_hex(8)}
    write_atomic(path / CONFIG, json.dumps(values, indent=2) + "\n")


def run_names(path: Path, runs: Iterable[tuple[str, int]]) -> list[str]:
    """Names of runs (cell and seed) that no other run directory has, for their checkpoints."""
    own = _read_id(path)
    return [f"{own} {cell} {seed}" for cell, seed in runs]


def write_analysis(path: Path, config: SweepConfig) -> None:
    """Writes down with which settings of the analysis the results were made."""
    write_config(path, config)
    manifest = read_manifest(path)
    if manifest:
        write_manifest(path, {**manifest, "sections": describe_sections(config)})


def make_directory(path: Path) -> None:
    """Makes a folder that can be written, or takes an empty one or a run directory.

    Raises:
        ConfigError: where it cannot be written or holds something else.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        names = {file.name for file in path.iterdir()}
        if CONFIG not in names and any(not name.startswith(".") for name in names):
            raise ConfigError(
                f"workdir: {path} holds files but no {CONFIG}; give an empty or a new folder"
            )
        with opening.adding(path / LOCK, mode="ab"):
            pass
    except OSError as error:
        raise ConfigError(
            f"workdir: {path} cannot be written ({error.strerror}); give a folder that can"
        ) from error


def claim_directory(path: Path, config: SweepConfig, extend: bool = False) -> bool:
    """Makes a locked folder the run directory of a config, or checks that it is.

    Fields that decide no numbers may have changed; the new ones are written down. Those of the
    analysis are once its results are, where there are results of other ones.

    Args:
        extend: whether it may grow into another config's; see `settings.growth`.

    Returns:
        Whether there are results of another analysis.

    Raises:
        ConfigError: where it holds a run of another config.
    """
    analysis = config.analysis
    if opening.is_there(path / CONFIG):
        old = read_config(path)
        changes = obstacles(old, config) if extend else differences(old, config)
        if changes:
            can = not extend and not obstacles(old, config)
            raise ConfigError(
                f"workdir: {path} {'cannot grow' if extend else 'belongs to another config'}"
                f" ({'; '.join(changes)}); give another --workdir, or the same values"
                f"{', or --extend' if can else ''}"
            )
        if opening.is_there(path / RESULTS):
            analysis = old.analysis
    write_config(path, dataclasses.replace(config, analysis=analysis))
    return analysis != config.analysis


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest, or {} before the first one is written.

    Raises:
        ConfigError: where it is damaged.
    """
    file = path / MANIFEST
    return check_manifest(file, parse_json(file)) if opening.is_there(file) else {}


def runs_of_slices(manifest: Mapping[str, Any]) -> dict[tuple[int, int], list[tuple[str, int]]]:
    """The cells and seeds of each slice of each group, by their places."""
    entries = manifest.get("slices", [])
    return {(each["group"], each["slice"]): each["runs"] for each in entries}


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
    place = path / METRICS
    with opening.writing(place), opening.adding(place, mode="a", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))


def read_metrics(path: Path) -> list[Row]:
    """All lines of metrics; one that cannot be read, as a crash cut it short, is left out."""
    return [row for row in records.read_metrics(path / METRICS) if row is not None]


def rewind_metrics(path: Path, runs: Collection[tuple[str, int]], step: int) -> None:
    """Drops the lines of these runs (cell and seed) after a step, to be written again."""
    kept = [
        json.dumps(row)
        for row in read_metrics(path)
        if row["step"] <= step or (row["cell"], row["seed"]) not in runs
    ]
    write_atomic(path / METRICS, "".join(line + "\n" for line in kept))


def slice_directory(path: Path, group: int, index: int) -> Path:
    """Where a slice of a group keeps its checkpoints."""
    return path / CHECKPOINTS / f"group{group}-slice{index}"
