"""What the figures share: style, colours that also print, panels, titles."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdvae.grid import Cell

MAX_PANELS = 24
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
    """What a cell's name says beyond kappa, d and r."""
    extras = cell.name.removeprefix(f"kappa{cell.kappa}-d{cell.d}-r{cell.r}").lstrip("-")
    return extras.replace(f"t={cell.t}", "", 1).strip("-") if "t" in but else extras


def family_of(cell: Cell, but: tuple[str, ...] = ("r",)) -> tuple[object, ...]:
    """What a cell is apart from some of its sizes: the key by which panels collect cells."""
    sizes = [getattr(cell, size) for size in ("kappa", "d", "r") if size not in but]
    return (*sizes, _extras(cell, but))


def title_of(cell: Cell, but: tuple[str, ...] = ()) -> str:
    parts = [f"κ = {cell.kappa}", f"d = {cell.d}", _extras(cell, but)]
    return ", ".join(part for part in parts if part)


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
