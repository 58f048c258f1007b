"""Dimensions by part of the data: by class, or by how much the condition tells."""

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mdvae.analysis import theory
from mdvae.reports.base import Picture, Section, View
from mdvae.reports.plotting import MAX_COLUMNS, first_of, full_title, legend_below, plot_ad
from mdvae.reports.sections.dimensions import (
    RULES,
    columns,
    fraction_text,
    number_or_dash,
)
from mdvae.reports.tables import Table, mean_text
from mdvae.settings.grid import Cell
from mdvae.settings.registry import DATA
from mdvae.store.loading import LoadedRun
from mdvae.store.rundir import Row


def _tables(view: View) -> list[Table]:
    seeds = view.run.config.seeds
    caption = f"{view.run.config.name}, by part: mean and 95 % interval over {seeds} seeds."
    # Without a truth the means over parts are what is looked for; see `classes`.
    known = any(row["expected_ad"] is not None for row in view.by_part)
    return [Table(columns(view.run, view.by_part), view.by_part, caption, known, known)]


def _sentences(view: View) -> list[str]:
    """How often the dimension of each part of the data was found, by cell."""
    lines = []
    for name in dict.fromkeys(row["cell"] for row in view.by_part if row["runs"]):
        mine = [row for row in view.by_part if row["cell"] == name]
        if any(row["expected_ad"] is None for row in mine):
            continue
        by_seed: dict[int, list[Row]] = {}
        for row in view.run.parts:
            if row["cell"] == name:
                by_seed.setdefault(row["seed"], []).append(row)
        # A table without the column, as a damaged one, has not counted by the rule.
        for rule, label in [each for each in RULES if each[0] in view.run.parts[0]]:
            total = sum(row["runs"] for row in mine)
            hits = sum(round((row[f"{rule}_correct"] or 0) * row["runs"]) for row in mine)
            found = ", ".join(mean_text(row, rule) for row in mine)
            wanted = ", ".join(str(row["expected_ad"]) for row in mine)
            # The parts of a run share one model, so an interval is over runs.
            whole = sum(
                all(row[rule] == row["expected_ad"] for row in parts) for parts in by_seed.values()
            )
            lines.append(
                f"{name}: AD {label.format(view.threshold)} is as expected in {hits} of {total}"
                f" (run, part), and in every part in {fraction_text(whole, len(by_seed))} runs"
                f" (means {found}; expected {wanted})."
            )
    return lines


def _parted(view: View) -> list[Cell]:
    return [cell for cell in view.run.cells if len(cell.parts) > 1]


def _pictures(view: View) -> list[Picture]:
    cells = _parted(view)
    title = "AD by part of the data" + first_of(len(cells), MAX_COLUMNS, "cells")
    return [Picture("parts.png", title, _draw(view, cells[:MAX_COLUMNS]))]


def _draw(view: View, cells: list[Cell]) -> Figure:
    """Above, AD of each part beside what is expected; below, how many samples have how many."""
    figure = Figure(figsize=(3.0 * len(cells) + 1.0, 5.4), layout="constrained")
    panels = figure.subplots(2, len(cells), squeeze=False, sharex="col", sharey="row")
    image, top = None, max(_most_counted(view.run, cell) for cell in cells)
    for column, cell in enumerate(cells):
        mine = [row for row in view.by_part if row["cell"] == cell.name]
        places = np.arange(len(mine))
        axes = panels[0, column]
        expected = [row["expected_ad"] for row in mine]
        if None not in expected:
            axes.plot(places, expected, ":", color="0.4", label="expected")
        plot_ad(axes, places, mine, view.run.config.analysis.ad_threshold, apart=0.2)
        axes.set_title(full_title(cell), fontsize=8)
        image = panels[1, column].imshow(
            _count_shares(view.run, cell)[:, : top + 1].T,
            origin="lower",
            aspect="auto",
            cmap=mpl.colormaps["Greys"],
            vmin=0,
            vmax=1,
        )
        panels[1, column].grid(visible=False)
        panels[1, column].yaxis.set_major_locator(MaxNLocator(integer=True))
        panels[1, column].set_xticks(places, [number_or_dash(row["part"]) for row in mine])
        name = DATA.find(cell.data.kind).part_name
        panels[1, column].set_xlabel(f"part of the data ({name})")
    panels[0, 0].set_ylim(bottom=0)  # of the row, once all is drawn
    panels[0, 0].set_ylabel("active dimensions\n(mean and 95 % interval)")
    panels[1, 0].set_ylabel("active dimensions of a sample")
    if image is not None:
        figure.colorbar(image, ax=list(panels[1]), label="fraction of samples")
    legend_below(figure, panels[0])
    return figure


def _most_counted(run: LoadedRun, cell: Cell) -> int:
    """The most active dimensions that one sample in a thousand has, or that are expected."""
    common = np.flatnonzero(_count_shares(run, cell).max(axis=0) > 1e-3)
    expected = (theory.expected_of_part(cell, part) or 0 for part in cell.parts)
    return max([*map(int, common), *expected])


def _count_shares(run: LoadedRun, cell: Cell) -> np.ndarray:
    """Fractions of samples by part and count, over all seeds, [parts, kappa + 1]."""
    shares = np.zeros((len(cell.parts), cell.sizes.kappa + 1))
    places = {part.value: i for i, part in enumerate(cell.parts)}
    for row in run.counts:
        if row["cell"] == cell.name and row["fraction"] is not None:
            shares[places[row["part"]], row["active"]] += row["fraction"]
    return shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)


SECTION = Section(
    order=20,
    applies=lambda view: view.has_counts and bool(view.by_part),
    tables=_tables,
    sentences=_sentences,
    pictures=_pictures,
)
