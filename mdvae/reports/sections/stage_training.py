"""Gamma and the squared error of the first stage over training (TwoStage, Figure 1, left)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from mdvae.reports.base import Picture, Section, View, carried
from mdvae.reports.plotting import colours_of, first_of, full_title, legend_below, make_panels
from mdvae.reports.staging import opened
from mdvae.settings.grid import Cell
from mdvae.store.rundir import Row

MOST_PANELS = 6
ERROR, GAMMA = "recon", "log_gamma"


def _lines(view: View) -> dict[str, list[Row]]:
    """What the first stage logged of gamma and the error, by the name of a cell in use."""
    stages = opened(view).stages
    if stages is None:
        return {}
    used = {cell.data.cell for cell in view.run.cells}
    found: dict[str, list[Row]] = {}
    for line in carried(stages.first):
        if line["cell"] in used and ERROR in line and GAMMA in line:
            found.setdefault(line["cell"], []).append(line)
    return found


def over_seeds(lines: Sequence[Row], d: int) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Steps, and at each gamma and the squared error of a coordinate by seed.

    Returns:
        steps; gamma and ||x - x_hat||^2 / d, [steps, 3] each: median, least and largest over
        seeds, nan where none is finite.
    """
    by_step: dict[int, list[Row]] = {}
    for line in lines:
        if line[ERROR] is not None and line[GAMMA] is not None:
            by_step.setdefault(line["step"], []).append(line)
    steps = sorted(by_step)

    def reduced(values: list[float]) -> list[float]:
        return [float(np.median(values)), min(values), max(values)]

    gammas = [reduced([float(np.exp(r[GAMMA])) for r in by_step[step]]) for step in steps]
    errors = [reduced([r[ERROR] / d for r in by_step[step]]) for step in steps]
    return steps, np.array(gammas).reshape(-1, 3), np.array(errors).reshape(-1, 3)


def _pictures(view: View) -> list[Picture]:
    found, stages = _lines(view), opened(view).stages
    if stages is None or not found:
        return []
    cells = [stages.first.cell(name) for name in found]
    more = first_of(len(cells), MOST_PANELS, "cells")
    title = f"γ and the squared error of the first stage over training{more}"
    return [Picture("first_stage_gamma.png", title, _draw(cells[:MOST_PANELS], found))]


def _draw(cells: Sequence[Cell], found: dict[str, list[Row]]) -> Figure:
    """A panel per cell of the first stage: gamma and the error, bands over seeds."""
    figure, panels = make_panels(len(cells), 3.0, 2.6, 3, sharey=True)
    panels[0].set_yscale("log")
    for i, (axes, cell) in enumerate(zip(panels, cells, strict=True)):
        steps, gammas, errors = over_seeds(found[cell.name], cell.sizes.d)
        pairs = ((errors, "-", "squared error, ‖x - x̂‖² / d"), (gammas, "--", "γ"))
        for (values, line, label), colour in zip(pairs, colours_of(2)[::-1], strict=True):
            axes.plot(steps, values[:, 0], line, color=colour, linewidth=1.4, label=label)
            axes.fill_between(
                steps, values[:, 1], values[:, 2], color=colour, alpha=0.2, linewidth=0
            )
        axes.set_title(full_title(cell), fontsize=7)
        axes.set_xlabel("step")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        if i % 3 == 0:
            axes.set_ylabel("variance of a coordinate\n(median and range over seeds)")
    legend_below(figure, panels)
    return figure


SECTION = Section(
    order=71, applies=lambda view: view.is_second and bool(_lines(view)), pictures=_pictures
)
