"""AD by the initial log gamma, where cells differ in nothing else (Table 7 of CVAE-dims)."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mdvae.analysis import theory
from mdvae.reports.base import Picture, Section, View
from mdvae.reports.plotting import (
    MAX_PANELS,
    first_of,
    full_title,
    legend_below,
    make_panels,
    plot_ad,
    say_why,
)
from mdvae.reports.tables import mean_text
from mdvae.settings.grid import Cell


def _start(cell: Cell) -> str:
    return f"{cell.value('log_gamma_init'):g}"


def _sentences(view: View) -> list[str]:
    by_name = {row["cell"]: row for row in view.rows if row["runs"]}
    lines = []
    for family, cells in view.starts.items():
        done = [cell for cell in cells if cell.name in by_name]
        if not done:
            continue
        of_rules = (
            f"AD {label} is " + ", ".join(mean_text(by_name[cell.name], rule) for cell in done)
            for rule, label in (("ad", f"({view.threshold})"), ("ad_gap", "(gap)"))
        )
        expected = theory.expected_ad(done[0])
        end = "" if expected is None else f"; expected {expected}"
        lines.append(
            f"{family}: from initial log γ = {', '.join(map(_start, done))},"
            f" {' and '.join(of_rules)}{end}."
        )
    return lines


def _pictures(view: View) -> list[Picture]:
    title = "Learned AD against the initial log γ"
    title += first_of(len(view.starts), MAX_PANELS, "kinds of cells")
    return [Picture("ad_against_start.png", title, _draw(view))]


def _draw(view: View) -> Figure:
    """Learned AD against the initial log gamma: a panel per model."""
    families = list(view.starts.values())[:MAX_PANELS]
    by_name = {row["cell"]: row for row in view.rows}
    figure, panels = make_panels(len(families), 2.8, 2.7, 3, sharey=True)
    for i, (axes, cells) in enumerate(zip(panels, families, strict=True)):
        places = np.arange(len(cells), dtype=float)
        expected = [theory.expected_ad(cell) for cell in cells]
        if None not in expected:
            axes.plot(places, np.array(expected, float), ":", color="0.4", label="expected")
        threshold = view.run.config.analysis.ad_threshold
        rows = [by_name[cell.name] for cell in cells]
        plot_ad(axes, places, rows, threshold)
        if all(row["runs"] == row["diverged"] for row in rows):
            done = any(row["runs"] for row in rows)
            say_why(axes, "no finite values" if done else "no run is done yet")
        axes.set_title(full_title(cells[0], but=("t", "log_gamma_init")), fontsize=7)
        axes.set_xticks(places, [_start(cell) for cell in cells])
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        if i % 3 == 0:
            axes.set_ylabel("active dimensions\n(mean and 95 % interval)")
    for axes in panels[-3:]:
        axes.set_xlabel("initial log γ")
    panels[0].set_ylim(bottom=-0.3)  # of all, once all is drawn
    legend_below(figure, panels)
    return figure


SECTION = Section(
    order=30,
    applies=lambda view: view.has_counts and bool(view.starts),
    sentences=_sentences,
    pictures=_pictures,
)
