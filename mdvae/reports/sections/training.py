"""What was logged over training: the loss, and gamma where there is one."""

import numpy as np
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

PLACE = ("cell", "seed", "step")


def _pictures(view: View) -> list[Picture]:
    families: dict[object, list[Cell]] = {}
    for cell in view.run.cells:
        families.setdefault(family_of(cell), []).append(cell)
    names = [name for name in view.run.metrics[0] if name not in PLACE]
    second = "log_gamma" if "log_gamma" in names else (names[1:] or [""])[0]
    shown = [name for name in (names[0], second) if name]
    words = " and ".join("γ" if name == "log_gamma" else name for name in shown)
    title = f"{words} over training" + first_of(len(families), MAX_COLUMNS, "kinds of cells")
    figure = _draw(view, list(families.values())[:MAX_COLUMNS], shown)
    return [Picture("training.png", title, figure)]


def _draw(view: View, families: list[list[Cell]], names: list[str]) -> Figure:
    """Columns by kind of cell, lines by r, bands over seeds; a row for each thing logged."""
    dimensions = sorted({manifold_dimension(cell) or 0 for cells in families for cell in cells})
    colours = dict(zip(dimensions, colours_of(len(dimensions)), strict=True))
    size = (2.6 * len(families) + 0.8, 2.3 * len(names))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(names), len(families), squeeze=False, sharex=True)
    for column, cells in enumerate(families):
        for cell in cells:
            lines = [row for row in view.run.metrics if row["cell"] == cell.name]
            steps = sorted({row["step"] for row in lines})
            by_step = {step: [row for row in lines if row["step"] == step] for step in steps}
            r = manifold_dimension(cell)
            line = LINES[dimensions.index(r or 0) % len(LINES)]
            for row, name in enumerate(names):
                values = [
                    [each[name] for each in by_step[step] if each[name] is not None] or [np.nan]
                    for step in steps
                ]
                change = np.exp if name == "log_gamma" else np.asarray
                middle, low, high = (
                    change(np.array([reduce(v) for v in values]))
                    for reduce in (np.median, np.min, np.max)
                )
                axes, colour = panels[row, column], colours[r or 0]
                label = None if r is None else f"r = {r}"
                axes.plot(steps, middle, color=colour, linestyle=line, label=label)
                axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
        panels[0, column].set_title(family_title(cells[0]), fontsize=9)
        for row, name in enumerate(names):
            axes = panels[row, column]
            finite = [each for each in axes.lines if np.any(np.isfinite(each.get_ydata()))]
            axes.set_yscale("log" if finite and name == "log_gamma" else "linear")
            if not finite:
                logged = any(len(each.get_xdata()) for each in axes.lines)
                say_why(axes, "no finite values" if logged else "nothing logged yet")
        panels[-1, column].set_xlabel("step")
        panels[-1, column].xaxis.set_major_formatter(EngFormatter(sep=""))
    for row, name in enumerate(names):
        unit = " (nats)" if name == "nelbo" else ""
        word = "γ" if name == "log_gamma" else f"{name}{unit}"
        panels[row, 0].set_ylabel(word + ("\nmedian and range over seeds" if row == 0 else ""))
    if any(manifold_dimension(cell) is not None for cells in families for cell in cells):
        legend_below(figure, panels[0], numbered=True)
    return figure


SECTION = Section(order=70, applies=lambda view: bool(view.run.metrics), pictures=_pictures)
