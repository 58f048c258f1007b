"""Active dimensions averaged over classes of data without a truth (Table 4 of CVAE-dims).

A row per cell, where `parts` has one per cell and class.
"""

from collections.abc import Mapping

from mdvae.analysis import theory
from mdvae.reports.base import Section, View
from mdvae.reports.sections.dimensions import RULES, columns
from mdvae.reports.sections.saturation import counts_over_parts, difference
from mdvae.reports.tables import Column, Table, with_interval
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


def _compare(view: View, cells: list[Cell], rows: Mapping[str, Row], rule: str) -> str:
    """Mean AD of two models, and the second's difference from the first over seeds of both."""
    means = " and ".join(
        f"{with_interval(rows[cell.name], rule, 1)} ({cell.value('model').upper()})"
        for cell in cells
    )
    return f"{means}, a difference of {difference(view, cells[0], cells[-1], rule)}"


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
