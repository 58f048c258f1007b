"""A run directory: what its files are, how they are written and read."""

import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import math
import os
import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None

from mdvae.settings.config import SweepConfig, differences, from_json
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import format_axis
from mdvae.settings.registry import SECTIONS

Row = dict[str, Any]

ID = "id"
CONFIG, MANIFEST, METRICS = "config.json", "manifest.json", "metrics.jsonl"
RESULTS, SUMMARY = "results.csv", "summary.csv"
SPECTRA, BLOCKS = "spectra.csv", "blocks.csv"
PARTS, SAMPLE_COUNTS, RESOLVABLE = "parts.csv", "counts.csv", "resolvable.csv"
CHECKPOINTS, FIGURES, LOCK = "checkpoints", "figures", ".lock"
# Before the names of scores on held-out samples, in a line of metrics.
HELD_OUT = "eval_"


def write_atomic(path: Path, text: str) -> None:
    """Replaces a file whole: a reader, or a crash, sees the old text or the new."""
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path), open(temporary, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Names the file in errors of writing, which a disk that is full leaves out."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


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


def parse_value(text: str) -> Any:
    """The inverse of `format_value` for numbers and names; an empty field is None."""
    if text == "":
        return None
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    # What Python takes for a float is wider: "1_000", "infinity" and " 1" are names.
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf|nan", text):
        return float(text)
    return text


def read_csv(path: Path) -> list[Row]:
    """Rows of a CSV file as dicts, numbers parsed."""
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return [
            {name: parse_value(text) for name, text in row.items()} for row in csv.DictReader(file)
        ]


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
    if not file.is_file():
        raise ConfigError(f"{path}: not a run directory (it has no {CONFIG}); give one that has")
    try:
        values = dict(json.loads(file.read_text(encoding="utf-8")))
        values.pop(ID, None)
        return from_json(values)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read as a config ({error}); restore it") from error


def _read_id(path: Path) -> str:
    """What tells a run directory from all others, copies of it apart; "" before it has one."""
    file = path / CONFIG
    return json.loads(file.read_text(encoding="utf-8")).get(ID, "") if file.is_file() else ""


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
        (path / LOCK).touch()
    except OSError as error:
        raise ConfigError(
            f"workdir: {path} cannot be written ({error.strerror}); give a folder that can"
        ) from error


def claim_directory(path: Path, config: SweepConfig) -> bool:
    """Makes a locked folder the run directory of a config, or checks that it is.

    Fields that decide no numbers may have changed; the new ones are written down. Those of the
    analysis are once its results are, where there are results of other ones.

    Returns:
        Whether there are results of another analysis.

    Raises:
        ConfigError: where it holds a run of another config.
    """
    analysis = config.analysis
    if (path / CONFIG).is_file():
        old = read_config(path)
        changes = differences(old, config)
        if changes:
            raise ConfigError(
                f"workdir: {path} belongs to another config ({'; '.join(changes)});"
                " give another --workdir, or the same values"
            )
        if (path / RESULTS).is_file():
            analysis = old.analysis
    write_config(path, dataclasses.replace(config, analysis=analysis))
    return analysis != config.analysis


@contextlib.contextmanager
def lock_directory(path: Path) -> Iterator[None]:
    """Holds a run directory, so that two processes never train in it at once.

    Raises:
        ConfigError: where another process holds it.
    """
    with open(path / LOCK, "w") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:
                raise ConfigError(
                    f"workdir: {path} is in use by another process; wait for it, or give another"
                ) from error
            except OSError as error:
                # Some network file systems have no locks.
                print(f"warning: {path} cannot be locked ({error.strerror}); going on without")
        yield


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest, or {} before the first one is written.

    Raises:
        ConfigError: where it is damaged.
    """
    file = path / MANIFEST
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except json.JSONDecodeError as error:
        raise ConfigError(f"{file}: cannot be read ({error}); restore it") from error


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
    with writing(path / METRICS), open(path / METRICS, "a", encoding="utf-8") as file:
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
