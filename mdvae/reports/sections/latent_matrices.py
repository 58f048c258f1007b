"""Singular values of the latents of both stages beside a normal matrix's (TwoStage, Figure 1)."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mdvae.analysis.statistics import Interval
from mdvae.reports.base import Picture, Section, View
from mdvae.reports.generated import Spectra, spectra_of
from mdvae.reports.plotting import (
    LINES,
    MARKERS,
    colours_of,
    first_of,
    full_title,
    label_within_decades,
    legend_below,
    make_panels,
)
from mdvae.reports.staging import staged_cells
from mdvae.reports.tables import Column, Table, axis_columns, number, plain
from mdvae.stages.measures import FIRST_LATENTS, NORMAL, SECOND_LATENTS, SINGULAR
from mdvae.store.rundir import read_csv

MOST_PANELS = 6
# Values that the axis of singular values holds at least.
LEAST_SPAN = (0.5, 2.0)
SOURCES = (FIRST_LATENTS, SECOND_LATENTS, NORMAL)


def _spectra(view: View) -> dict[str, Spectra]:
    return spectra_of(read_csv(view.run.path / SINGULAR))


def _text(found: Interval) -> str:
    half = (found.high - found.low) / 2
    return number(found.mean) + (f" ± {number(half, 2)}" if np.isfinite(half) else "")


def _tables(view: View) -> list[Table]:
    rows = [{"cell": name, **found.apart} for name, found in _spectra(view).items()]

    def value(source: str) -> Column:
        return plain(source, lambda row: _text(row[source]))

    columns = [*axis_columns(staged_cells(view), rows), value(FIRST_LATENTS), value(SECOND_LATENTS)]
    caption = (
        f"{view.run.config.name}: how far the singular values of the matrix of latents are from"
        " those of a normal matrix, mean |log s - log s of the normal one| over places (nats), mean"
        " and 95 % interval over seeds. 0 is a normal matrix."
    )
    return [Table(columns, rows, caption, latex=True)]


def _sentences(view: View) -> list[str]:
    found = [each.apart for each in _spectra(view).values()]
    pairs = [(each[FIRST_LATENTS].mean, each[SECOND_LATENTS].mean) for each in found]
    pairs = [pair for pair in pairs if np.isfinite(pair).all()]
    if not pairs:
        return []
    closer = sum(second < first for first, second in pairs)
    cells = "cell" if len(pairs) == 1 else "cells"
    return [
        f"Singular values of the latents: those of the second stage are closer to a normal"
        f" matrix's than those of the first in {closer} of {len(pairs)} {cells}."
    ]


def _pictures(view: View) -> list[Picture]:
    found = _spectra(view)
    more = first_of(len(found), MOST_PANELS, "cells")
    title = f"Singular values of the latents of both stages and of a normal matrix{more}"
    return [Picture("singular_values.png", title, _draw(view, found))]


def _draw(view: View, found: dict[str, Spectra]) -> Figure:
    """Singular values against their place, mean over seeds: a panel per cell."""
    cells, shown = staged_cells(view), list(found.items())[:MOST_PANELS]
    figure, panels = make_panels(len(shown), 2.9, 2.6, 3, sharey=True)
    panels[0].set_yscale("log")
    for i, (axes, (name, spectra)) in enumerate(zip(panels, shown, strict=True)):
        for k, source in enumerate(SOURCES):
            values = spectra.values.get(source)
            if values is None:
                continue
            axes.plot(
                np.arange(1, len(values) + 1),
                values,
                LINES[k],
                color="0.45" if source == NORMAL else colours_of(2)[k],
                marker="" if source == NORMAL else MARKERS[k],
                markersize=3.5,
                linewidth=1.1,
                label=source,
            )
        axes.set_title(full_title(cells[name]), fontsize=7)
        axes.set_xlabel("place, largest first")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if i % 3 == 0:
            axes.set_ylabel("singular value / √samples\n(mean over seeds)")
    low, high = panels[0].get_ylim()
    # A narrower axis would show chance alone where all is nearly normal.
    ends = min(low, LEAST_SPAN[0]), max(high, LEAST_SPAN[1])
    panels[0].set_ylim(*ends)
    label_within_decades(panels[0].yaxis, *ends)
    legend_below(figure, panels)
    return figure


SECTION = Section(
    order=57,
    applies=lambda view: view.is_second and bool(_spectra(view)),
    tables=_tables,
    sentences=_sentences,
    pictures=_pictures,
)
