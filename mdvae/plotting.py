"""What the figures share: style, colours that also print, panels, titles."""

import re
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdvae.grid import Cell
from mdvae.rundir import Row

MAX_PANELS = 24
# Letters on a line of a title, of 7 points over the narrowest panels.
TITLE_WIDTH = 38
MARKERS = "osD^vPX<>*"
LINES = ("-", "--", "-.", ":")
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "savefig.dpi": 160,
}


def colours_of(n: int) -> np.ndarray:
    # Viridis without its lightest end: ordered in grey too, and visible on paper.
    return mpl.colormaps["viridis"](np.linspace(0.0, 0.78, max(n, 1)))


def _extras(cell: Cell, but: tuple[str, ...] = ()) -> str:
    """What a cell's name says beyond kappa, d and r, and apart from some of its axes."""
    rest = cell.name.removeprefix(f"kappa{cell.kappa}-d{cell.d}-r{cell.r}").lstrip("-")
    settings = re.split("-(?=[a-z_]+=)", rest)  # a minus may also be a number's sign
    kept = [setting for setting in settings if setting.split("=")[0] not in but]
    return ", ".join(setting.replace("=", "\u00a0=\u00a0") for setting in kept)


def family_of(cell: Cell, but: tuple[str, ...] = ("r",)) -> tuple[object, ...]:
    """What a cell is apart from some of its sizes: the key by which panels collect cells."""
    sizes = [getattr(cell, size) for size in ("kappa", "d", "r") if size not in but]
    return (*sizes, _extras(cell, but))


def series_label(cell: Cell, but: tuple[str, ...] = ()) -> str:
    """What the cells of one series in a panel of one d share, apart from some axes."""
    return ", ".join(part for part in (f"κ = {cell.kappa}", _extras(cell, but)) if part)


def _lines(sizes: str, rest: str) -> str:
    return "\n".join([sizes, *textwrap.wrap(rest, TITLE_WIDTH)])


def family_title(cell: Cell) -> str:
    """What cells of all r share, on lines that fit over a narrow panel."""
    return _lines(f"κ = {cell.kappa}, d = {cell.d}", _extras(cell))


def full_title(cell: Cell, more: str = "", but: tuple[str, ...] = ()) -> str:
    """All that a cell is: its sizes, then on lines of their own what its name says beyond them."""
    rest = ", ".join(part for part in (_extras(cell, but), more) if part)
    return _lines(f"κ = {cell.kappa}, d = {cell.d}, r = {cell.r}", rest)


def make_panels(
    n: int, width: float, height: float, columns: int, **kwargs
) -> tuple[Figure, list[Axes]]:
    columns = min(n, columns)
    rows = -(-n // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **kwargs).flat)
    for unused in axes[n:]:
        unused.set_visible(False)
    return figure, axes[:n]


def plot_ad(
    axes: Axes,
    places: np.ndarray,
    rows: Sequence[Row],
    threshold: float,
    *,
    colour: Any = None,
    marker: str = "o",
    offset: float = 0.0,
    apart: float = 0.24,
    label: str = "",
) -> None:
    """Means and intervals of AD by both rules, filled and hollow, and the published AD as crosses.

    Args:
        places: of the rows along x.
        rows: of a summary.
        threshold: of the first rule.
        offset: moves the markers along x, for several series in one panel.
        apart: distance between the rules' markers.
        label: goes before the rules' names in the legend.
    """
    colour = colours_of(2)[0] if colour is None else colour
    for rule, shift, fill, name in (
        ("ad", offset - apart / 2, colour, f"AD ({threshold:g})"),
        ("ad_gap", offset + apart / 2, "white", "AD (gap)"),
    ):
        means = np.array([row[f"{rule}_mean"] for row in rows], float)
        lows = np.array([row[f"{rule}_low"] for row in rows], float)
        axes.errorbar(
            places + shift,
            means,
            np.nan_to_num(means - lows),
            color=colour,
            marker=marker,
            markerfacecolor=fill,
            markersize=5,
            linestyle="none",
            capsize=2,
            label=f"{label}, {name}" if label else name,
        )
    paper = [(place, row["paper_ad"]) for place, row in zip(places, rows, strict=True)]
    paper = [pair for pair in paper if pair[1] is not None]
    if paper:
        seen = "published" in axes.get_legend_handles_labels()[1]
        name = None if seen else "published"
        axes.plot(*zip(*paper, strict=True), "kx", markersize=7, zorder=5, label=name)


def legend_below(figure: Figure, panels: Sequence[Axes], numbered: bool = False) -> None:
    """One legend of all panels, under them, in as many columns as the figure is wide for.

    Args:
        numbered: the labels end in "= number", by which they are ordered.
    """
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    labels = list(found)
    if numbered:
        labels.sort(key=lambda label: float(label.split("= ")[1]))
    # A letter of 9 points is about 0.07 inches wide; the sample of a line takes the rest.
    room = int(figure.get_figwidth() / (0.07 * max(map(len, labels), default=1) + 0.5))
    figure.legend(
        [found[label] for label in labels],
        labels,
        loc="outside lower center",
        ncols=max(1, min(room, len(labels))),
    )
