"""What was logged over training: the loss, beside that on held-out samples, and gamma."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from mdvae.analysis.theory import manifold_dimension
from mdvae.reports.base import Picture, Section, View
from mdvae.reports.plotting import (
    LINES,
    MAX_COLUMNS,
    colours_of,
    family_of,
    family_title,
    first_of,
    legend_below,
    say_why,
)
from mdvae.settings.grid import Cell
from mdvae.store.rundir import HELD_OUT, Row

PLACE = ("cell", "seed", "step")


def _shown(metrics: Sequence[Row]) -> list[str]:
    """What is drawn: the first thing that each method logs, then its gamma or the second thing.

    Methods are told apart by the names that their lines have.
    """
    kinds = dict.fromkeys(
        tuple(name for name in row if name not in PLACE and not name.startswith(HELD_OUT))
        for row in metrics
    )
    logged = [names for names in kinds if names]
    seconds = ["log_gamma" if "log_gamma" in names else (names[1:] or names)[0] for names in logged]
    return list(dict.fromkeys([*(names[0] for names in logged), *seconds]))


def _word(name: str) -> str:
    return "γ" if name == "log_gamma" else name


def _pictures(view: View) -> list[Picture]:
    families: dict[object, list[Cell]] = {}
    for cell in view.run.cells:
        families.setdefault(family_of(cell), []).append(cell)
    shown = _shown(view.run.metrics)
    if not shown:
        return []
    *words, last = map(_word, shown)
    title = f"{', '.join(words)} and {last}" if words else last
    title += " over training" + first_of(len(families), MAX_COLUMNS, "kinds of cells")
    figure = _draw(view, list(families.values())[:MAX_COLUMNS], shown)
    return [Picture("training.png", title, figure)]


Curve = tuple[list[int], list[list[float]]]


def _curve(lines: Sequence[Row], name: str) -> Curve:
    """The steps at which something was logged, and its values over seeds at each.

    Where no seed's value is finite, it is nan.
    """
    by_step: dict[int, list[float]] = {}
    for line in lines:
        if name in line:
            values = by_step.setdefault(line["step"], [])
            values += [] if line[name] is None else [line[name]]
    steps = sorted(by_step)
    return steps, [by_step[step] or [np.nan] for step in steps]


def _draw(view: View, families: list[list[Cell]], names: list[str]) -> Figure:
    """Columns by kind of cell, lines by r, bands over seeds; a row for each thing logged."""
    dimensions = sorted({manifold_dimension(cell) or 0 for cells in families for cell in cells})
    colours = dict(zip(dimensions, colours_of(len(dimensions)), strict=True))
    by_cell: dict[str, list[Row]] = {}
    for line in view.lines:
        by_cell.setdefault(line["cell"], []).append(line)
    compared = any(HELD_OUT + name in line for line in view.run.metrics for name in names)
    size = (2.6 * len(families) + 0.8, 2.3 * len(names))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(names), len(families), squeeze=False, sharex=True)
    for column, cells in enumerate(families):
        for cell in cells:
            r = manifold_dimension(cell)
            # Beside held-out curves dashes tell these apart, and colour alone r.
            line = "-" if compared else LINES[dimensions.index(r or 0) % len(LINES)]
            label = None if r is None else f"r = {r}"
            for row, name in enumerate(names):
                change = np.exp if name == "log_gamma" else np.asarray
                lines = by_cell.get(cell.name, [])
                style = {"color": colours[r or 0], "linestyle": line, "label": label}
                _plot(panels[row, column], _curve(lines, name), change, style)
                held_out = _curve(lines, HELD_OUT + name)
                if held_out[0]:
                    style |= {"linestyle": "--", "label": "held out"}
                    _plot(panels[row, column], held_out, change, style, band=False)
        panels[0, column].set_title(family_title(cells[0]), fontsize=9)
        for row, name in enumerate(names):
            axes = panels[row, column]
            finite = [each for each in axes.lines if np.any(np.isfinite(each.get_ydata()))]
            axes.set_yscale("log" if finite and name == "log_gamma" else "linear")
            if not finite:
                logged = any(len(each.get_xdata()) for each in axes.lines)
                begun = any(cell.name in by_cell for cell in cells)
                absent = "not logged" if begun else "nothing logged yet"
                say_why(axes, "no finite values" if logged else absent)
        panels[-1, column].set_xlabel("step")
        panels[-1, column].xaxis.set_major_formatter(EngFormatter(sep=""))
    for row, name in enumerate(names):
        unit = " (nats)" if name == "nelbo" else ""
        words = f"{_word(name)}{unit}" + ("\nmedian and range over seeds" if row == 0 else "")
        panels[row, 0].set_ylabel(words)
    if compared or any(manifold_dimension(cell) is not None for each in families for cell in each):
        legend_below(figure, list(panels.flat), numbered=True)
    return figure


def _plot(
    axes: Axes,
    curve: Curve,
    change: Callable[[Any], np.ndarray],
    style: dict[str, Any],
    band: bool = True,
) -> None:
    """The median over seeds against the step, and a band of their range."""
    steps, values = curve
    if not steps:
        return
    middle, low, high = (
        change(np.array([reduce(each) for each in values]))
        for reduce in (np.median, np.min, np.max)
    )
    axes.plot(steps, middle, **style)
    if band:
        axes.fill_between(steps, low, high, color=style["color"], alpha=0.15, linewidth=0)


SECTION = Section(order=70, applies=lambda view: bool(view.run.metrics), pictures=_pictures)
