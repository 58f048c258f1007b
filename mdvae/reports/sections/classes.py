"""Active dimensions averaged over classes of data without a truth (Table 4 of CVAE-dims).

A row per cell, where `parts` has one per cell and class.
"""

from collections.abc import Mapping
from typing import Any

from mdvae.analysis import theory
from mdvae.analysis.statistics import mean_interval
from mdvae.reports.base import Section, View
from mdvae.reports.sections.dimensions import RULES, columns
from mdvae.reports.sections.saturation import counts_over_parts
from mdvae.reports.tables import Column, Table, fixed, with_interval
from mdvae.settings.grid import Cell, families
from mdvae.settings.registry import DATA
from mdvae.store.rundir import Row


def is_averaged(cell: Cell) -> bool:
    """Whether AD is counted in several parts of the data of which no truth is known."""
    return len(cell.parts) > 1 and theory.manifold_dimension(cell) is None


def _rows(view: View) -> list[Row]:
    return [counts_over_parts(row) for row in view.rows if is_averaged(view.cells[row["cell"]])]


def _averaged(column: Column, name: str) -> Column:
    """A column of AD, said to be a mean over parts of the data."""
    if not column.title.startswith("AD ("):
        return column
    words = f"{column.title}, mean over {name}es" if name == "class" else column.title
    return column._replace(title=words, latex=words)


def _tables(view: View) -> list[Table]:
    rows = _rows(view)
    name = DATA.find(view.cells[rows[0]["cell"]].data.kind).part_name
    config = view.run.config
    caption = f"{config.name}: mean and 95 % interval over {config.seeds} seeds."
    shown = [_averaged(column, name) for column in columns(view.run, rows)]
    return [Table(shown, rows, caption, latex=True, printed=True)]


def _by_seed(view: View, cell: Cell, rule: str) -> Mapping[int, Any]:
    mine = [r for r in view.run.results if r["cell"] == cell.name and r["status"] == "ok"]
    return {row["seed"]: row.get(f"{rule}_of_parts") for row in mine}


def _compare(view: View, cells: list[Cell], rows: Mapping[str, Row], rule: str) -> str:
    """Mean AD of two models, and the second's difference from the first over seeds of both."""
    first, second = (_by_seed(view, cell, rule) for cell in cells)
    pairs = [(first[seed], second[seed]) for seed in first if seed in second]
    found = mean_interval([b - a for a, b in pairs if a is not None and b is not None])
    half = f" ± {(found.high - found.low) / 2:.1f}" if found.n > 1 else ""
    means = " and ".join(
        f"{with_interval(rows[cell.name], rule, 1)} ({cell.value('model').upper()})"
        for cell in cells
    )
    return f"{means}, a difference of {fixed(found.mean, 1)}{half}"


def _sentences(view: View) -> list[str]:
    """A CVAE beside the VAE of the same settings: what a class tells need not be encoded."""
    rows = {row["cell"]: row for row in _rows(view) if row["runs"]}
    lines = []
    for name, cells in families(view.run.cells, "model").items():
        done = [cell for cell in cells if cell.name in rows]
        if len(done) != 2:
            continue
        pair = sorted(done, key=lambda cell: cell.is_told)
        by_rule = [
            f"AD ({view.threshold if rule == 'ad' else 'gap'}) is"
            f" {_compare(view, pair, rows, rule)}"
            for rule, _ in RULES
        ]
        lines.append(f"{name}: averaged over classes {'; '.join(by_rule)}.")
    return lines


SECTION = Section(
    order=18,
    applies=lambda view: view.has_counts and bool(_rows(view)),
    tables=_tables,
    sentences=_sentences,
)
