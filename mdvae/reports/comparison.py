"""Several run directories side by side: the cells that they share, and what was set otherwise."""

import itertools
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mdvae.reports.base import View
from mdvae.reports.tables import (
    Column,
    fraction,
    markdown_table,
    plain,
    symbol,
    with_digits,
    with_interval,
)
from mdvae.settings.fields import FOUND, fields_of
from mdvae.settings.grid import format_axis
from mdvae.settings.registry import SECTIONS
from mdvae.store import opening, rundir
from mdvae.store.loading import load_run
from mdvae.store.rundir import Row

# Means that are shown to one decimal; others are of a size that is not known beforehand.
DECIMAL = ("ad", "ad_gap", "nelbo")
# Directories beyond the first that the name of a file has.
NAMED = 2

# Of a row: its cell, and the part of its data where these are evaluated apart.
Place = tuple[str, int | None]


class Side(NamedTuple):
    """One of the directories.

    Attributes:
        letter: what its columns are marked with.
        path: as the user gave it.
        rows: of its summary, by place.
        settings: all fields of its config by dotted name, as texts.
    """

    letter: str
    path: Path
    view: View
    rows: dict[Place, Row]
    settings: dict[str, str]


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{name}." if name else path)
        else:
            yield f"{path}{name}", repr(value)


def _open(letter: str, path: Path) -> Side:
    view = View(load_run(path))
    # Data of several parts have dimensions of their own, so a number for all of them says nothing.
    rows: dict[Place, Row] = {(row["cell"], None): row for row in view.rows if row["parts"] == 1}
    rows |= {(row["cell"], row["part"]): row for row in view.by_part}
    config = view.run.config
    values = config.to_json()
    for section in SECTIONS:
        # A whole line for each column of a table, and nothing that anyone has set.
        for name, field in fields_of(getattr(config, section)).items():
            if field.role == FOUND and not field.decides:
                del values[section][name]
    settings = dict(_leaves({"grid": values.pop("grids"), **values}))
    return Side(letter, path, view, rows, settings)


def _cell_columns(sides: Sequence[Side], places: Sequence[Place]) -> list[Column]:
    """A column for each axis that any of the shared cells has, and for the part of the data."""
    points = {cell.name: dict(cell.point) for side in sides for cell in side.view.run.cells}
    axes = dict.fromkeys(axis for cell, _ in places for axis in points[cell])

    def of_axis(axis: str) -> Column:
        def text(row: Mapping[str, Any]) -> str:
            value = points[row["place"][0]].get(axis)
            return "–" if value is None else format_axis(value)

        return Column(*symbol(axis), text)

    found = [of_axis(axis) for axis in axes]
    if any(part is not None for _, part in places):
        found.append(plain("part", lambda row: str(row["place"][1])))
    return found


def _quantities(sides: Sequence[Side]) -> dict[str, str]:
    """Titles of the means that are compared, by name: the usual ones, or a method's own scores."""
    known = dict.fromkeys(
        name.removesuffix("_mean")
        for side in sides
        for row in side.rows.values()
        for name in row
        if name.endswith("_mean") and row[name] is not None
    )
    if not any(side.view.has_counts for side in sides):
        return {name: name.replace("_", " ") for name in known}
    usual = {"ad": "AD", "ad_gap": "AD (gap)", "nelbo": "nelbo (nats)", "recon": "Recon"}
    return {name: title for name, title in usual.items() if name in known}


def _value_columns(sides: Sequence[Side]) -> list[Column]:
    """Columns of each quantity for each side, next to each other."""

    def column(
        side: Side, title: str, name: str, show: Callable[[Row], str], end: str = ""
    ) -> Column:
        def text(row: Mapping[str, Any]) -> str:
            mine = side.rows.get(row["place"], {})
            return show(mine) if f"{name}_mean" in mine else "–"

        threshold = f" ({side.view.threshold})" if name == "ad" else ""
        return plain(f"{side.letter}: {title}{threshold}{end}", text)

    has_truth = any(
        row.get("expected_ad") is not None for side in sides for row in side.rows.values()
    )
    columns = []
    for name, title in _quantities(sides).items():
        show = partial(with_interval, name=name, decimals=1) if name in DECIMAL else None
        show = show or partial(with_digits, name=name)
        columns += [column(side, title, name, show) for side in sides]
        if name in ("ad", "ad_gap") and has_truth:
            hits = partial(fraction, rule=name)
            columns += [column(side, title, name, hits, " as expected") for side in sides]
    return columns


def _differing(sides: Sequence[Side]) -> list[Row]:
    """The fields of the configs that are not the same on all sides."""
    names = dict.fromkeys(name for side in sides for name in side.settings)
    rows = [{"field": n, **{s.letter: s.settings.get(n, "–") for s in sides}} for n in names]
    return [row for row in rows if len({row[side.letter] for side in sides}) > 1]


def _shared(sides: Sequence[Side]) -> list[Place]:
    """The cells that at least two sides have, in the order of the first that has them."""
    counts: dict[Place, int] = {}
    for place in itertools.chain.from_iterable(side.rows for side in sides):
        counts[place] = counts.get(place, 0) + 1
    return [place for place, n in counts.items() if n > 1]


def _free_file(folder: Path, others: Sequence[str], heading: str) -> Path:
    """Where the comparison is written: over an earlier one of the same directories, or anew."""
    more = [f"{len(others) - NAMED}-more"] if len(others) > NAMED else []
    name = "comparison-with-" + "-and-".join([*others[:NAMED], *more])
    for end in itertools.chain([""], (f"-{i}" for i in itertools.count(2))):
        file = folder / f"{name}{end}.md"
        if not opening.is_there(file) or _is_headed(file, heading):
            return file
    raise AssertionError("numbers do not end")


def _is_headed(file: Path, heading: str) -> bool:
    with opening.reading(file) as opened:
        start = f"{heading}\n".encode()
        return opened.read(len(start)) == start


def write_comparison(paths: Sequence[Path]) -> None:
    """Compares run directories, prints that, and writes it to a file of the first one.

    Args:
        paths: two or more, whose reports are written.
    """
    letters = string.ascii_uppercase
    sides = [
        _open(letters[i % len(letters)] * (i // len(letters) + 1), path)
        for i, path in enumerate(paths)
    ]
    where = ", ".join(f"{side.letter}: {side.path.resolve()}" for side in sides)
    heading = f"# Comparison of {where}"
    places = _shared(sides)
    if places:
        columns = [*_cell_columns(sides, places), *_value_columns(sides)]
        table = markdown_table(columns, [{"place": place} for place in places])
    else:
        table = "No two of the directories have a cell of the same name."
    alone = {s.letter: sum(place not in places for place in s.rows) for s in sides}
    more = "; ".join(f"{n} in {letter} alone" for letter, n in alone.items() if n)
    rows = _differing(sides)
    fields = [plain("field", lambda row: row["field"])]
    fields += [plain(s.letter, lambda row, letter=s.letter: row[letter]) for s in sides]
    text = [
        heading,
        "Means over seeds, ± half of the 95 % interval.",
        table,
        f"Not shared: {more}." if more else "",
        "Settings that differ:" if rows else "All settings are the same.",
        markdown_table(fields, rows) if rows else "",
    ]
    body = [each for each in text if each]
    file = _free_file(paths[0], [path.resolve().name for path in paths[1:]], heading)
    rundir.write_atomic(file, "\n\n".join(body) + "\n")
    print("\n\n".join(["", *body, f"comparison: {file}"]), flush=True)
