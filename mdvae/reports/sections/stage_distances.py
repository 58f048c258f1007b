"""Distances of what one stage and two generate, drawn by cell."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdvae.reports.base import Picture, Section, View
from mdvae.reports.generated import is_distance, source_of
from mdvae.reports.plotting import MARKERS, colours_of, first_of, label_within_decades, legend_above
from mdvae.reports.sections.stages import measure_text
from mdvae.reports.staging import is_second, label_of, staged_cells
from mdvae.settings.grid import Cell
from mdvae.stages.measures import GENERATED, SOURCES
from mdvae.store.rundir import Row, read_csv

MOST_CELLS = 30
# Between the markers of one cell.
APART = 0.17
# An axis is logarithmic where its values go over more than this many times.
WIDE = 8.0


def _pictures(view: View) -> list[Picture]:
    cells = {row["cell"]: None for row in view.generated}
    more = first_of(len(cells), MOST_CELLS, "cells")
    title = f"Distances of generated samples from held-out ones{more}"
    return [Picture("generated.png", title, _draw(view, list(cells)[:MOST_CELLS]))]


def _set_scale(axes: Axes, measure: str, rows: Sequence[Row]) -> None:
    """Logarithmic where values are far apart, about 0 where some are not above it.

    The axis reaches as far as the bootstraps' intervals of all seeds; an interval over few seeds
    may leave it.

    Args:
        rows: of generated.csv.
    """
    if not is_distance(measure):
        axes.set_xlim(-0.02, 1.02)
        return
    values = np.array([row["value"] for row in rows], float)
    ends = [row[end] for row in rows for end in ("low", "high") if row[end] is not None]
    every = np.concatenate([values, ends])
    low, high = float(every.min()), float(every.max())
    least = float(np.abs(values).min())
    if low > 0 and high > WIDE * low:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.3, high * 1.3)
        label_within_decades(axes.xaxis, *axes.get_xlim())
    elif low <= 0 and high > WIDE * least:
        # About as wide as what cannot be told from 0.
        near = float(max(np.abs(every[every <= 0]).max(), least))
        axes.set_xscale("symlog", linthresh=near, linscale=1.0)
        axes.set_xlim(1.6 * low, high * 1.4)
    else:
        margin = 0.08 * (high - min(low, 0.0))
        axes.set_xlim(min(low, 0.0) - margin, high + margin)


def _draw(view: View, names: Sequence[str]) -> Figure:
    """A panel per measure, a row per cell: means and intervals, and each seed as a dot."""
    every = staged_cells(view)
    cells: dict[str, Cell] = {name: every[name] for name in names}
    measures = list(dict.fromkeys(row["measure"] for row in view.generated))
    by_seed = [r for r in read_csv(view.run.path / GENERATED) if r["cell"] in cells]
    columns = min(2, len(measures))
    down = -(-len(measures) // columns)
    height = down * (0.5 + 0.42 * max(len(names), 2)) + 0.5
    figure = Figure(figsize=(3.6 * columns + 1.6, height), layout="constrained")
    panels = list(figure.subplots(down, columns, squeeze=False, sharey=True).flat)
    for unused in panels[len(measures) :]:
        unused.set_visible(False)
    places = {name: -float(place) for place, name in enumerate(names)}
    for axes, measure in zip(panels, measures, strict=False):
        rows = {row["cell"]: row for row in view.generated if row["measure"] == measure}
        own = [row for row in by_seed if row["measure"] == measure]
        for k, (source, colour) in enumerate(zip(SOURCES, colours_of(len(SOURCES)), strict=True)):
            shift = APART * ((len(SOURCES) - 1) / 2 - k)
            mine = [name for name in names if name in rows]
            found = [source_of(rows[name], source) for name in mine]
            means, lows, highs = (
                np.array([getattr(each, word) for each in found], float)
                for word in ("mean", "low", "high")
            )
            axes.errorbar(
                means,
                [places[name] + shift for name in mine],
                xerr=np.nan_to_num(np.stack([means - lows, highs - means])).clip(0.0),
                color=colour,
                marker=MARKERS[k],
                markerfacecolor=colour if k < 2 else "white",
                markersize=5,
                linestyle="none",
                elinewidth=1.0,
                capsize=2,
                label=source,
            )
            dots = [row for row in own if row["source"] == source]
            if any(each.n > 1 for each in found):
                axes.plot(
                    [row["value"] for row in dots],
                    [places[row["cell"]] + shift for row in dots],
                    ".",
                    color=colour,
                    markersize=3,
                    zorder=3,
                )
        _set_scale(axes, measure, own)
        axes.set_title(measure_text(measure), fontsize=9)
        axes.set_yticks(list(places.values()), [label_of(cells[n], cells) for n in names])
        axes.tick_params(axis="y", labelsize=7)
        axes.set_ylim(-len(names) + 0.5, 0.5)
        for place in range(1, len(names)):
            axes.axhline(0.5 - place, color="0.85", linewidth=0.6)
        axes.grid(visible=False, axis="y")
    figure.supxlabel("mean and 95 % interval; small dots: seeds", size=8)
    legend_above(figure, panels[: len(measures)])
    return figure


SECTION = Section(
    order=56,
    applies=lambda view: is_second(view) and bool(view.generated),
    pictures=_pictures,
)
