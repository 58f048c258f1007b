"""What the figures share: style, colours that also print, panels, titles."""

import textwrap
from collections.abc import Collection, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from mdvae.analysis.theory import manifold_dimension
from mdvae.reports.tables import symbol
from mdvae.settings.axes import LEADING
from mdvae.settings.grid import Cell, format_axis
from mdvae.store.rundir import Row

MAX_PANELS = 24
MAX_COLUMNS = 6
# More values of kappa than this have no tick each.
MOST_TICKS = 10
# Letters on a line of a title, of 7 points over the narrowest panels.
TITLE_WIDTH = 34
LONGEST_NAME = 28
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
    """Colours of n ordered things, [n, 4]."""
    # Viridis without its lightest end: ordered in grey too, and visible on paper.
    return mpl.colormaps["viridis"](np.linspace(0.0, 0.78, max(n, 1)))


def _others(cell: Cell, but: Collection[str] = ()) -> str:
    """A cell's axes beyond its sizes and some others, as text."""
    kept = [(axis, v) for axis, v in cell.point if axis not in LEADING and axis not in but]
    return ", ".join(f"{symbol(axis)[0]}\u00a0=\u00a0{format_axis(value)}" for axis, value in kept)


def _sizes(cell: Cell) -> dict[str, int | None]:
    return {"kappa": cell.sizes.kappa, "d": cell.sizes.d, "r": manifold_dimension(cell)}


def family_of(cell: Cell, but: Collection[str] = ("r",)) -> tuple[object, ...]:
    """What a cell is apart from some of its axes: the key by which panels collect cells."""
    sizes = [size for name, size in _sizes(cell).items() if name not in but]
    return (*sizes, _others(cell, but))


def series_label(cell: Cell, but: Collection[str] = ()) -> str:
    """What the cells of one series in a panel of one d share, apart from some axes."""
    return ", ".join(text for text in (f"κ = {cell.sizes.kappa}", _others(cell, but)) if text)


def _lines(sizes: str, rest: str) -> str:
    return "\n".join([sizes, *textwrap.wrap(rest, TITLE_WIDTH)])


def family_title(cell: Cell) -> str:
    """What cells of all r share, on lines that fit over a narrow panel."""
    return _lines(f"κ = {cell.sizes.kappa}, d = {cell.sizes.d}", _others(cell))


def full_title(cell: Cell, more: str = "", but: Collection[str] = ()) -> str:
    """All that a cell is: its sizes, then on lines of their own what it is beyond them."""
    rest = ", ".join(text for text in (_others(cell, but), more) if text)
    sizes = {symbol(name)[0]: size for name, size in _sizes(cell).items() if size is not None}
    return _lines(", ".join(f"{name} = {size}" for name, size in sizes.items()), rest)


def plain_text(name: str) -> str:
    """A name of a user's own as figures show it: on one line, not long, and a dollar no formula."""
    line = " ".join(name.split())
    short = line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "…"
    return short.replace("$", r"\$")


def make_panels(
    n: int, width: float, height: float, columns: int, **kwargs: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of n panels of a size in inches, at most so many beside each other."""
    columns = min(n, columns)
    rows = -(-n // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **kwargs).flat)
    for unused in axes[n:]:
        unused.set_visible(False)
    return figure, axes[:n]


def mark_kappas(axes: Axes, kappas: Sequence[float] | np.ndarray) -> None:
    """The axis along kappa: a tick at each value while they are few, in small letters."""
    if len(kappas) <= MOST_TICKS:
        axes.set_xticks(kappas)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlabel("κ")


def say_why(axes: Axes, why: str) -> None:
    """Says in a panel that has nothing to draw why that is so."""
    axes.text(
        0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color="0.4", fontsize=8
    )


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

    A mean of fewer runs than there are says of how many it is: above it, by the gap rule below it.

    Args:
        places: of the rows along x.
        rows: of a summary.
        threshold: of the first rule.
        offset: moves the markers along x, for several series in one panel.
        apart: distance between the rules' markers.
        label: goes before the rules' names in the legend.
    """
    colour = colours_of(2)[0] if colour is None else colour
    for rule, shift, fill, name, above in (
        ("ad", offset - apart / 2, colour, f"AD ({threshold:g})", 7),
        ("ad_gap", offset + apart / 2, "white", "AD (gap)", -12),
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
        for place, mean, row in zip(places + shift, means, rows, strict=True):
            found = row[f"{rule}_n"]
            if 0 < found < row["runs"]:  # the others diverged, or have no gap
                near = {"textcoords": "offset points", "xytext": (0, above), "ha": "center"}
                axes.annotate(f"{found}/{row['runs']}", (place, mean), fontsize=6, **near)
    paper = [(place, row["paper_ad"]) for place, row in zip(places, rows, strict=True)]
    paper = [pair for pair in paper if pair[1] is not None]
    if paper:
        seen = "published" in axes.get_legend_handles_labels()[1]
        name = None if seen else "published"
        axes.plot(*zip(*paper, strict=True), "kx", markersize=7, zorder=5, label=name)


def label_within_decades(axis: Axis, low: float, high: float) -> None:
    """Labels of a logarithmic axis as plain numbers, closer where it spans few powers of ten."""
    subs = (1.0, 2.0, 5.0) if high / low < 100.0 else (1.0,)
    if high / low < 5.0:
        subs = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def legend_above(figure: Figure, panels: Sequence[Axes]) -> None:
    """As `legend_below`, but over the panels, where what they share along x is said below."""
    _legend(figure, panels, "outside upper center", numbered=False)


def legend_below(figure: Figure, panels: Sequence[Axes], numbered: bool = False) -> None:
    """One legend of all panels, under them, in as many columns as the figure is wide for.

    Args:
        numbered: labels that end in "= number" are ordered by it, before others.
    """
    _legend(figure, panels, "outside lower center", numbered)


def _legend(figure: Figure, panels: Sequence[Axes], place: Any, numbered: bool) -> None:
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    labels = list(found)
    if numbered:
        labels.sort(key=lambda label: float(label.partition("= ")[2] or "inf"))
    # A letter of 9 points is about 0.07 inches wide; the sample of a line takes the rest.
    letters = int((figure.get_figwidth() - 0.5) / 0.07)
    texts = [textwrap.fill(label, letters, break_long_words=False) for label in labels]
    longest = max((len(line) for text in texts for line in text.splitlines()), default=1)
    room = int(figure.get_figwidth() / (0.07 * longest + 0.5))
    figure.legend(
        [found[label] for label in labels],
        texts,
        loc=place,
        ncols=max(1, min(room, len(labels))),
    )


def first_of(total: int, most: int, what: str) -> str:
    """What a title says where a figure shows the first of more things."""
    return f" (the first {most} of {total} {what})" if total > most else ""
