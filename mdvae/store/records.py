"""What files of a run directory hold, checked as they are read, so that whoever uses it need not.

A file may be cut short, edited by hand, or made by somebody else. What is not as mdvae writes it
is refused in one line here, and nowhere else.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mdvae.settings.fields import ConfigError, is_number, is_whole
from mdvae.store import opening

Row = dict[str, Any]

# Columns of texts, and of whole numbers; all others are of numbers.
_TEXTS = {"cell", "status", "warnings", "source", "measure", "measured_with", "regime", "over"}
_WHOLE = {"seed", "part", "latent", "place", "dimensions", "steps"}
# Columns that a row must have a value in.
_KEYS = ("cell", "seed")
# The columns without which a file cannot be used, by its name; another file may have any.
COLUMNS: dict[str, tuple[str, ...]] = {
    "results.csv": (*_KEYS, "kappa", "d", "r", "t", "status", "steps", "parts", "expected_ad"),
    "parts.csv": (*_KEYS, "part", "expected_ad", "status", "steps"),
    "counts.csv": (*_KEYS, "part", "active", "fraction"),
    "resolvable.csv": (*_KEYS, "part", "dimensions", "fraction"),
    "spectra.csv": (*_KEYS, "part", "latent", "ratio"),
    "blocks.csv": _KEYS,
    "generated.csv": (*_KEYS, "source", "measure", "n", "value", "low", "high"),
    "singular_values.csv": (*_KEYS, "source", "place", "value"),
    "codes.csv": (*_KEYS, "over"),
    "polarised.csv": (*_KEYS, "latent", "n", "regime"),
}
# Files of one row for each run, or for each of several things of a run, named by these columns.
_ONCE = {
    "results.csv": (),
    "parts.csv": ("part",),
    "spectra.csv": ("part", "latent"),
    "counts.csv": ("part", "active"),
    "resolvable.csv": ("part", "dimensions"),
    "generated.csv": ("source", "measure"),
    "singular_values.csv": ("source", "place"),
    "codes.csv": ("over",),
    "polarised.csv": ("latent",),
}


def parse_json(path: Path, what: str = "") -> Any:
    """The value of a JSON file; see `opening.read_text`.

    Args:
        what: it is, for the message, such as " as a config".

    Raises:
        ConfigError: where it is none.
    """
    text = opening.read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read{what} ({error}); restore it") from error


def parse_value(text: str) -> Any:
    """The inverse of `format_value` for numbers and names; an empty field is None."""
    if text == "":
        return None
    # Longer ones are no numbers of ours, and Python reads none of thousands of digits.
    if re.fullmatch(r"[+-]?\d{1,400}", text):
        return int(text)
    # What Python takes for a float is wider: "1_000", "infinity" and " 1" are names.
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf|nan", text):
        return float(text)
    return text


def _texts(path: Path) -> Iterator[str]:
    for number, line in enumerate(opening.read_lines(path), 1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: line {number} is no text; restore it") from error


def read_csv(path: Path) -> list[Row]:
    """Rows of a CSV file as dicts, numbers parsed, checked; none where there is no file.

    Raises:
        ConfigError: where it cannot be read, or has not what files of its name have.
    """
    reader = csv.reader(_texts(path))
    rows: list[Row] = []
    try:
        header = next(reader, [])
        _check_header(path, header)
        for fields in reader:
            if not fields:
                continue
            if len(fields) != len(header):
                raise _unreadable(
                    path, reader.line_num, f"has {len(fields)} of {len(header)} fields"
                )
            rows.append(dict(zip(header, map(parse_value, fields), strict=True)))
            if path.name in COLUMNS:
                _check_row(path, reader.line_num, rows[-1])
    except csv.Error as error:
        raise _unreadable(path, reader.line_num, f"is no line of a table ({error})") from error
    _check_once(path, rows)
    return rows


def _unreadable(path: Path, line: int, why: str) -> ConfigError:
    return ConfigError(f"{path}: line {line} {why}; restore it")


def _check_header(path: Path, header: Sequence[str]) -> None:
    if len(set(header)) != len(header):
        raise ConfigError(f"{path}: a column stands twice; restore it")
    for name in header if path.name in COLUMNS else ():
        if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
            raise ConfigError(f"{path}: {name!r:.40} is no name of a column; restore it")
    missing = [name for name in COLUMNS.get(path.name, ()) if header and name not in header]
    if missing:
        raise ConfigError(f"{path}: has no column {missing[0]!r}; restore it")


def _check_row(path: Path, line: int, row: Row) -> None:
    for name, value in row.items():
        if name in _TEXTS:
            right, is_right = "a text", name != "cell" or isinstance(value, str)
        elif name in _WHOLE:
            right = "a whole number"
            is_right = _is_count(value) or (value is None and name != "seed")
        else:
            right = "a number"
            is_right = value is None or isinstance(value, float) or is_number(value)
        if not is_right:
            shown = f"{value!r:.40}"
            raise _unreadable(path, line, f"has {shown} for {name}, which must be {right}")
        if name in _TEXTS and value is not None:
            row[name] = str(value)


def _check_once(path: Path, rows: Sequence[Row]) -> None:
    if path.name not in _ONCE:
        return
    names = (*_KEYS, *_ONCE[path.name])
    seen = set()
    for row in rows:
        key = (*(row[name] for name in names), row.get("measured_with"))
        if key in seen:
            told = ", ".join(f"{name} {row[name]}" for name in names)
            raise ConfigError(f"{path}: {told} stands twice; leave one")
        seen.add(key)


def is_metrics(row: Any) -> bool:
    """Whether a value is what a line of metrics has: a run, a step and numbers."""
    if not (isinstance(row, dict) and isinstance(row.get("cell"), str)):
        return False
    if not all(is_whole(row.get(name)) and 0 <= row[name] < 2**63 for name in ("seed", "step")):
        return False
    values = [value for name, value in row.items() if name not in ("cell", "seed", "step")]
    values += [each for value in values if isinstance(value, list) for each in value]
    return all(
        value is None or isinstance(value, list | float) or is_number(value) for value in values
    )


def read_metrics(path: Path) -> Iterator[Row | None]:
    """The lines of metrics of a file; None for one that cannot be read, as a crash cut it short."""
    for line in opening.read_lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        yield row if is_metrics(row) else None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return is_whole(value) and 0 <= value < 2**63


def _is_run(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 2 and _is_text(value[0]) and _is_count(value[1])
    )


def _is_seconds(value: Any) -> bool:
    return is_number(value) and value >= 0


def _list_of(accepts: Any) -> Any:
    return lambda value: isinstance(value, list) and all(map(accepts, value))


def _entry(**fields: Any) -> Any:
    def accepts(value: Any) -> bool:
        return isinstance(value, dict) and all(
            name in value and accepts(value[name]) for name, accepts in fields.items()
        )

    return accepts


# Fields of a manifest that are used, and what each is in words.
_MANIFEST: Mapping[str, tuple[Any, str]] = {
    "status": (_is_text, "a text"),
    "versions": (lambda value: isinstance(value, dict), "versions by name"),
    "programs": (
        _list_of(
            _entry(
                cells=lambda value: _list_of(_is_text)(value) and bool(value),
                piece=lambda value: value is None or (_is_count(value) and value > 0),
                rate=lambda value: is_number(value) and 0 < value <= 1,
            )
        ),
        "a list of programs, each with cells, piece and rate",
    ),
    "runs": (
        _list_of(_entry(cell=_is_text, seed=_is_count, status=_is_text)),
        "a list of runs, each with cell, seed and status",
    ),
    "slices": (
        _list_of(
            _entry(
                group=_is_count,
                slice=_is_count,
                status=_is_text,
                step=_is_count,
                seconds=_is_seconds,
                runs=_list_of(_is_run),
            )
        ),
        "a list of slices, each with group, slice, status, step, seconds and runs",
    ),
}


def check_manifest(path: Path, manifest: Any) -> Row:
    """A manifest whose fields are what is used of them; one that is still without some is, too.

    Raises:
        ConfigError: where it is not.
    """
    if not isinstance(manifest, dict):
        raise ConfigError(f"{path}: is no manifest; restore it")
    for name, (accepts, words) in _MANIFEST.items():
        if name in manifest and not accepts(manifest[name]):
            raise ConfigError(f"{path}: {name}: is not usable; it must be {words}; restore it")
    places = [(each["group"], each["slice"]) for each in manifest.get("slices", [])]
    if len(set(places)) != len(places):
        raise ConfigError(f"{path}: slices: one stands twice; restore it")
    n_programs = len(manifest.get("programs", places))
    if any(group >= n_programs for group, _ in places):
        raise ConfigError(f"{path}: slices: one is of no program; restore it")
    return manifest
