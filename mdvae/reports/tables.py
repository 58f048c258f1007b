"""Tables as text: columns, in markdown and LaTeX."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mdvae.analysis.statistics import Interval
from mdvae.settings.axes import LEADING
from mdvae.settings.grid import Cell, format_axis

Row = dict[str, Any]

# What axes are called in tables, where not by their own names; in markdown and LaTeX.
SYMBOLS = {
    "kappa": ("κ", r"$\kappa$"),
    "d": ("d", "$d$"),
    "r": ("r", "$r$"),
    "t": ("t", "$t$"),
    "sigma": ("σ", r"$\sigma$"),
    "log_gamma": ("log γ", r"$\log\gamma$"),
    "log_gamma_init": ("initial log γ", r"initial $\log\gamma$"),
}


class Column(NamedTuple):
    """A column of a printed table: its title in markdown and LaTeX, and its text for a row."""

    title: str
    latex: str
    text: Callable[[Mapping[str, Any]], str]


class Table(NamedTuple):
    """A table of a report.

    Attributes:
        columns, rows: what it shows.
        caption: above it.
        latex: whether report.tex has it too.
        printed: whether the command prints it.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]
    caption: str = ""
    latex: bool = False
    printed: bool = False


def plain(title: str, text: Callable[[Mapping[str, Any]], str]) -> Column:
    """A column of the same title in markdown and LaTeX."""
    return Column(title, title, text)


def symbol(axis: str) -> tuple[str, str]:
    """What an axis is called, in markdown and LaTeX."""
    words = axis.replace("_", " ")
    return SYMBOLS.get(axis, (words, words))


def number(value: float | None, digits: int = 3) -> str:
    """A value to some significant digits, or a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    if value != 0 and (abs(value) < 0.01 or abs(value) >= 1e5):
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}" if value else "0"


def fixed(value: float | None, decimals: int) -> str:
    """A value to some decimals, or a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.{decimals}f}"


def _of_how_many(row: Mapping[str, Any], name: str) -> str:
    """Of how many runs a mean is, where it is not of all."""
    found = row[f"{name}_n"]
    return f" ({found} of {row['runs']})" if 0 < found < row["runs"] else ""


def interval_text(found: Interval, decimals: int) -> str:
    """A mean and half of its interval, where it has one."""
    half = f" ± {(found.high - found.low) / 2:.{decimals}f}" if np.isfinite(found.low) else ""
    return fixed(found.mean, decimals) + half


def with_interval(row: Mapping[str, Any], name: str, decimals: int) -> str:
    """A mean of the summary and half of its interval; of how many runs, where not of all."""
    mean = fixed(row[f"{name}_mean"], decimals)
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if low is not None and not math.isnan(low):
        mean += f" ± {(high - low) / 2:.{decimals}f}"
    return mean + _of_how_many(row, name)


def mean_text(row: Mapping[str, Any], name: str, decimals: int = 1) -> str:
    """A mean of the summary alone; of how many runs, where not of all."""
    return fixed(row[f"{name}_mean"], decimals) + _of_how_many(row, name)


def digits_text(row: Mapping[str, Any], name: str) -> str:
    """`mean_text` of a size that is not known beforehand."""
    return number(row[f"{name}_mean"]) + _of_how_many(row, name)


def with_digits(row: Mapping[str, Any], name: str) -> str:
    """`with_interval` of a size that is not known beforehand."""
    mean = number(row[f"{name}_mean"])
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if low is not None and not math.isnan(low):
        mean += f" ± {number((high - low) / 2, 2)}"
    return mean + _of_how_many(row, name)


def fraction(row: Mapping[str, Any], rule: str) -> str:
    """How many of a cell's runs have the expected dimension; a dash where none is, or counted."""
    runs, share = row["runs"], row[f"{rule}_correct"] or 0.0
    if runs == 0 or row["expected_ad"] is None or math.isnan(share):
        return "–"
    return f"{round(share * runs)}/{runs}"


def axis_columns(cells: Mapping[str, Cell], rows: Sequence[Row]) -> list[Column]:
    """A column for each axis of the grid that tells the cells of some rows apart, sizes first."""
    points = [dict(cells[row["cell"]].point) for row in rows]
    axes = list(dict.fromkeys(axis for point in points for axis in point))
    shown = [
        axis
        for axis in axes
        if axis in LEADING or len({format_axis(point.get(axis)) for point in points}) > 1
    ]

    def text(axis: str) -> Callable[[Mapping[str, Any]], str]:
        def of_row(row: Mapping[str, Any]) -> str:
            point = dict(cells[row["cell"]].point)
            return format_axis(point[axis]) if point.get(axis) is not None else "–"

        return of_row

    return [Column(*symbol(axis), text(axis)) for axis in shown]


def markdown_table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """The table in markdown, its columns aligned for reading as plain text too."""
    lines = [[column.title for column in columns]]
    lines += [[column.text(row) for column in columns] for row in rows]
    sizes = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    texts = [
        "| " + " | ".join(text.rjust(size) for text, size in zip(line, sizes, strict=True)) + " |"
        for line in lines
    ]
    texts.insert(1, "|" + "|".join("-" * (size + 1) + ":" for size in sizes) + "|")
    return "\n".join(texts)


def latex_table(columns: Sequence[Column], rows: Sequence[Row], caption: str) -> str:
    """A table for booktabs."""

    def escape(text: str) -> str:
        text = text.replace("±", r"$\pm$").replace("–", "--")
        return text.replace("_", r"\_").replace("%", r"\%")

    body = [" & ".join(escape(column.text(row)) for column in columns) + r" \\" for row in rows]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{escape(caption)}}}",
            r"\begin{tabular}{" + "r" * len(columns) + "}",
            r"\toprule",
            " & ".join(column.latex for column in columns) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )
