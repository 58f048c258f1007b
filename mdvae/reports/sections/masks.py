"""Masks over training: how much each latent is let through, where a method learns that.

The ratios of such methods are 1 - mask, and are logged with the held-out scores.
"""

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from mdvae.reports.base import Picture, Section, View
from mdvae.reports.plotting import first_of, full_title, make_panels
from mdvae.settings.grid import Cell
from mdvae.settings.registry import METHODS
from mdvae.store.rundir import RATIOS

MOST_PANELS = 8


def masks_of(view: View, cell: Cell) -> tuple[np.ndarray, np.ndarray] | None:
    """Masks of the first seed of a cell for which they were logged.

    Returns:
        The steps, [lines], and the masks, [latents, lines], ordered by where they end, largest
        first; None where there are none.
    """
    by_seed: dict[int, dict[int, list[float]]] = {}
    for line in view.run.metrics:
        if line["cell"] == cell.name and line.get(RATIOS) and None not in line[RATIOS]:
            by_seed.setdefault(line["seed"], {})[line["step"]] = line[RATIOS]
    if not by_seed or not METHODS.find(cell.method.kind).masked:
        return None
    lines = by_seed[min(by_seed)]
    steps = sorted(lines)
    masks = 1.0 - np.array([lines[step] for step in steps]).T
    return np.array(steps), masks[np.argsort(-masks[:, -1], kind="stable")]


def _masked(view: View) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found = {cell.name: masks_of(view, cell) for cell in view.run.cells}
    return {name: masks for name, masks in found.items() if masks is not None}


def _pictures(view: View) -> list[Picture]:
    found = _masked(view)
    title = "Masks of latents over training, first seed"
    title += first_of(len(found), MOST_PANELS, "cells")
    return [Picture("masks.png", title, _draw(view, found))]


def _draw(view: View, found: dict[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """A panel per cell: a row per latent, in the order of the masks at the end."""
    shown = list(found.items())[:MOST_PANELS]
    figure, panels = make_panels(len(shown), 2.6, 2.5, 4)
    threshold = 1.0 - view.run.config.analysis.ad_threshold
    colours, scale = "cividis", Normalize(0.0, 1.0)
    for axes, (name, (steps, masks)) in zip(panels, shown, strict=True):
        # The value at a step stands for those since the line before.
        edges = np.concatenate([[0], steps])
        rows = np.arange(len(masks) + 1) + 0.5
        axes.pcolormesh(edges, rows, masks, cmap=colours, norm=scale, rasterized=True)
        in_use = int(np.sum(masks[:, -1] > threshold))
        line = {"color": "tab:red", "linestyle": "--", "linewidth": 1.0}
        axes.axhline(in_use + 0.5, label=f"in use at the end (mask > {threshold:g})", **line)
        axes.grid(visible=False)
        axes.invert_yaxis()
        axes.set_title(full_title(view.cells[name]), fontsize=7)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("step")
    panels[0].set_ylabel("latent, by its mask at the end")
    figure.colorbar(ScalarMappable(scale, colours), ax=panels, label="mask")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center")
    return figure


SECTION = Section(order=71, applies=lambda view: bool(_masked(view)), pictures=_pictures)
