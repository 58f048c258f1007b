"""The growth curves of a benchmark."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from mdvae.benchmark.measure import Spread
from mdvae.reports.plotting import STYLE, colours_of

LABELS = {
    "runs": "runs in the ensemble",
    "width": "hidden units",
    "batch": "samples per batch",
    "d": "data dimension d",
    "devices": "devices",
}


def draw_growth(growth: Mapping[str, Sequence[Any]], peak: Spread, file: Path) -> None:
    """Samples per second (above) and the share of the product peak (below) along each axis."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.7 * len(growth) + 0.6, 4.6), layout="constrained")
        panels = figure.subplots(2, len(growth), squeeze=False, sharex="col", sharey="row")
        colours = colours_of(2)
        for column, (axis, points) in enumerate(growth.items()):
            x = np.array([point["value"] for point in points], float)
            samples = np.array([point["rate"].samples for point in points]) / 1e6
            flops = 100 * np.array([point["rate"].flops for point in points]) / peak.median
            for row, (values, marker) in enumerate(((samples, "o"), (flops, "s"))):
                middle, low, high = values.T
                panels[row, column].errorbar(
                    x,
                    middle,
                    [middle - low, high - middle],
                    color=colours[row],
                    marker=marker,
                    markersize=4,
                    capsize=2,
                )
            panels[0, column].set_xscale("log")
            panels[0, column].set_yscale("log")
            panels[1, column].set_xticks(x, [f"{value:g}" for value in x], fontsize=7)
            panels[1, column].minorticks_off()
            panels[1, column].set_xlabel(LABELS[axis])
        panels[1, 0].set_ylim(bottom=0)  # shared by the row; after all of it is drawn
        panels[0, 0].set_ylabel("million samples / s\n(all runs; median and range)")
        panels[1, 0].set_ylabel("true arithmetic,\n% of the product peak")
        figure.savefig(file)
