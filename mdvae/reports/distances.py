"""What sections on distances of samples share: columns, sentences, axes, and a figure by cell."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from mdvae.analysis.measuring import GENERATED
from mdvae.reports.base import View
from mdvae.reports.generated import Found, found_text, is_distance, measure_text, source_of
from mdvae.reports.plotting import MARKERS, colours_of, label_within_decades, legend_above
from mdvae.reports.staging import label_of
from mdvae.reports.tables import Column, plain
from mdvae.settings.grid import Cell
from mdvae.store.rundir import Row, read_csv

HOW_MEASURED = (
    "mean and 95 % interval over seeds, in brackets half of the bootstrap's interval, mean over"
    " seeds. FCD is on features of a classifier of the data set; it is no FID and not comparable"
    " with one."
)
MOST_CELLS = 30
# Between the markers of one cell, over all of them.
SPREAD = 0.51
# An axis is logarithmic where its values go over more than this many times.
WIDE = 8.0


def by_measure(rows: Sequence[Row]) -> list[Row]:
    """Rows of a summary, those of one measure together."""
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    return sorted(rows, key=lambda row: measures.index(row["measure"]))


def source_columns(sources: Sequence[str]) -> list[Column]:
    """The measure, and the value of each source."""

    def value(source: str) -> Column:
        return plain(source, lambda row: found_text(source_of(dict(row), source)))

    return [plain("measure", lambda row: measure_text(row["measure"])), *map(value, sources)]


def missing_lines(
    view: View,
    rows: Sequence[Row],
    what: str,
    applies: Callable[[Cell], bool] = lambda cell: True,
) -> list[str]:
    """How to get what is not measured yet, if anything is.

    Args:
        rows: of each run that was measured.
        what: is not, where nothing is.
        applies: whether runs of a cell are measured at all.
    """
    of = {cell.name for cell in view.run.cells if applies(cell)}
    sound = {(r["cell"], r["seed"]) for r in view.run.results if r["status"] == "ok"}
    sound = {key for key in sound if key[0] in of}
    done = {(r["cell"], r["seed"]) for r in rows}
    left = len(sound - done)
    if not left:
        return []
    again = view.run.manifest.get("command")
    command = f": {again}" if again else ""
    subject = f"{left} of {len(sound)} runs are" if done else what
    return [f"{subject} not measured yet; run the command of the sweep again{command}"]


def reading_text(view: View) -> str:
    """How many samples the table is of, and what follows a value in it."""
    counts = " or ".join(f"{n:,}" for n in sorted({row["n"] for row in view.generated}))
    several = any(row["runs"] > 1 for row in view.generated)
    over = (
        "± is half of the 95 % interval over seeds, and in brackets" if several else "In brackets"
    )
    own = "mean over seeds" if several else "over other draws of the samples"
    return (
        f"Generated: {counts} samples of each source against as many held-out ones. {over} half of"
        f" the bootstrap's, {own}."
    )


def ends_of(found: Sequence[Found]) -> tuple[np.ndarray, np.ndarray]:
    """Means, [n], and how far their intervals reach to either side, [2, n]; 0 of none."""
    means, lows, highs = (
        np.array([getattr(each, word) for each in found], float) for word in ("mean", "low", "high")
    )
    return means, np.nan_to_num(np.stack([means - lows, highs - means])).clip(0.0)


def set_scale(axes: Axes, which: str, measure: str, rows: Sequence[Row]) -> None:
    """Logarithmic where values are far apart, about 0 where some are not above it.

    The axis reaches as far as the bootstraps' intervals of all seeds; an interval over few seeds
    may leave it.

    Args:
        which: "x" or "y".
        rows: of generated.csv, of the measure.
    """
    limit, scale = getattr(axes, f"set_{which}lim"), getattr(axes, f"set_{which}scale")
    if not is_distance(measure):
        limit(-0.02, 1.02)
        return
    values = np.array([row["value"] for row in rows], float)
    ends = [row[end] for row in rows for end in ("low", "high") if row[end] is not None]
    every = np.concatenate([values, ends])
    low, high = float(every.min()), float(every.max())
    least = float(np.abs(values).min())
    if low > 0 and high > WIDE * low:
        scale("log")
        limit(low / 1.3, high * 1.3)
        label_within_decades(getattr(axes, f"{which}axis"), low / 1.3, high * 1.3)
    elif low <= 0 and high > WIDE * least:
        # About as wide as what cannot be told from 0.
        near = float(max(np.abs(every[every <= 0]).max(), least))
        scale("symlog", linthresh=near, linscale=1.0)
        limit(1.6 * low, high * 1.4)
        _label_outwards(getattr(axes, f"{which}axis"), near, high * 1.4)
    else:
        margin = 0.08 * (high - min(low, 0.0))
        limit(min(low, 0.0) - margin, high + margin)


def _label_outwards(axis: Axis, near: float, high: float) -> None:
    """Labels 0 and round numbers beyond what is linear, within which labels would overlap."""
    powers = 10.0 ** np.arange(np.floor(np.log10(near)), np.floor(np.log10(high)) + 1)
    powers = powers[powers >= near]
    if len(powers) < 2:
        rounds = np.outer(10.0 ** np.arange(-12, 12), (1.0, 2.0, 5.0)).ravel()
        powers = rounds[(rounds >= near) & (rounds <= high)]
    axis.set_major_locator(FixedLocator([*-powers[::-1], 0.0, *powers]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def draw_by_cell(view: View, cells: Mapping[str, Cell], sources: Sequence[str]) -> Figure:
    """A panel per measure, a row per cell: means and intervals, and each seed as a dot.

    Args:
        cells: by their names in the run, as they are to be called.
    """
    names, labels = list(cells), dict(cells)
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
    looks: list[tuple[str, Any]] = list(zip(sources, colours_of(len(sources)), strict=True))
    apart = SPREAD / max(len(sources) - 1, 1)
    for axes, measure in zip(panels, measures, strict=False):
        rows = {row["cell"]: row for row in view.generated if row["measure"] == measure}
        own = [row for row in by_seed if row["measure"] == measure]
        for k, (source, colour) in enumerate(looks):
            shift = apart * ((len(sources) - 1) / 2 - k)
            mine = [name for name in names if name in rows]
            found = [source_of(rows[name], source) for name in mine]
            means, reach = ends_of(found)
            axes.errorbar(
                means,
                [places[name] + shift for name in mine],
                xerr=reach,
                color=colour,
                marker=MARKERS[k],
                markerfacecolor=colour if k < len(sources) / 2 else "white",
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
        set_scale(axes, "x", measure, own)
        axes.set_title(measure_text(measure), fontsize=9)
        axes.set_yticks(list(places.values()), [label_of(cells[n], labels) for n in names])
        axes.tick_params(axis="y", labelsize=7)
        axes.set_ylim(-len(names) + 0.5, 0.5)
        for place in range(1, len(names)):
            axes.axhline(0.5 - place, color="0.85", linewidth=0.6)
        axes.grid(visible=False, axis="y")
    figure.supxlabel("mean and 95 % interval; small dots: seeds", size=8)
    legend_above(figure, panels[: len(measures)])
    return figure
