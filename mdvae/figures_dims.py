"""Figures of the learned dimension: against the manifold's, and against the initial gamma."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mdvae.analysis.estimates import ladder_families
from mdvae.grid import Cell, start_families
from mdvae.loading import LoadedRun
from mdvae.plotting import (
    MARKERS,
    MAX_PANELS,
    colours_of,
    family_of,
    full_title,
    legend_below,
    make_panels,
    plot_ad,
    series_label,
)
from mdvae.rundir import Row

SIZES = ("r", "d", "t")


def _starts(run: LoadedRun) -> list[list[Cell]]:
    """Cells of one part that differ in the initial log gamma alone."""
    return [cells for cells in start_families(run.cells).values() if len(cells[0].parts) == 1]


def has_starts(run: LoadedRun) -> bool:
    """Whether there is something for `draw_starts` to draw."""
    return bool(_starts(run))


def _counted(run: LoadedRun) -> list[Cell]:
    """Cells whose active dimensions answer to r: of one part, in no ladder, of no bad start."""
    ladders = ladder_families(run.results).values()
    members = {name for names in ladders for name in names}
    members |= {cell.name for cells in _starts(run) for cell in cells}
    return [cell for cell in run.cells if cell.name not in members and len(cell.parts) == 1]


def series_of(run: LoadedRun) -> list[tuple[object, ...]]:
    """The kinds of cells in `draw_against_r`, which shows as many as there are markers."""
    return list(dict.fromkeys(family_of(cell, SIZES) for cell in _counted(run)))


def draw_against_r(run: LoadedRun, rows: Sequence[Row]) -> Figure:
    """Learned AD against r, or r - t of a CVAE: a panel per d, a series per kappa and rule."""
    cells = _counted(run)
    told = any(cell.model == "cvae" for cell in cells)
    symbol = "r - t" if told else "r"
    place = {cell.name: cell.r - cell.t * (cell.model == "cvae") for cell in cells}
    by_name = {row["cell"]: row for row in rows}
    widths = sorted({cell.d for cell in cells})
    figure, panels = make_panels(len(widths), 3.1, 3.5, 4, sharey=True)
    series = series_of(run)[: len(MARKERS)]
    looks = dict(zip(series, zip(colours_of(len(series)), MARKERS, strict=False), strict=True))
    for axes, d in zip(panels, widths, strict=True):
        here = [cell for cell in cells if cell.d == d]
        top = max(place[cell.name] for cell in here) + 1
        axes.plot([0, top], [0, top], color="0.6", linestyle=":", label=f"AD = {symbol}")
        shown = [family for family in series if family in {family_of(c, SIZES) for c in here}]
        apart = min(0.24, 0.3 / max(len(shown), 1))
        for i, family in enumerate(shown):
            members = [cell for cell in here if family_of(cell, SIZES) == family]
            colour, marker = looks[family]
            plot_ad(
                axes,
                np.array([place[cell.name] for cell in members], float),
                [by_name[cell.name] for cell in members],
                run.config.ad_threshold,
                colour=colour,
                marker=marker,
                offset=(2 * i + 1 - len(shown)) * apart,
                apart=apart,
                label=series_label(members[0], ("t",)),
            )
        axes.set_title(f"d = {d}")
        axes.set_xlabel(f"{'dimensions left,' if told else 'manifold dimension'} {symbol}")
        axes.set_xticks(sorted({place[cell.name] for cell in here}))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel("active dimensions\n(mean and 95 % interval)")
    legend_below(figure, panels)
    return figure


def draw_starts(run: LoadedRun, rows: Sequence[Row]) -> Figure:
    """Learned AD against the initial log gamma: a panel per model (Table 7 of CVAE-dims)."""
    families = _starts(run)[:MAX_PANELS]
    by_name = {row["cell"]: row for row in rows}
    figure, panels = make_panels(len(families), 2.8, 2.7, 3, sharey=True)
    for i, (axes, cells) in enumerate(zip(panels, families, strict=True)):
        places = np.arange(len(cells), dtype=float)
        expected = [cell.parts[0].expected_ad for cell in cells]
        axes.plot(places, expected, ":", color="0.4", label="expected")
        plot_ad(axes, places, [by_name[c.name] for c in cells], run.config.ad_threshold)
        axes.set_title(full_title(cells[0], but=("t", "log_gamma_init")), fontsize=7)
        axes.set_xticks(places, [f"{cell.log_gamma_init:g}" for cell in cells])
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        if i % 3 == 0:
            axes.set_ylabel("active dimensions\n(mean and 95 % interval)")
    for axes in panels[-3:]:
        axes.set_xlabel("initial log γ")
    panels[0].set_ylim(bottom=-0.3)  # of all, once all is drawn
    legend_below(figure, panels)
    return figure
