"""Figures of conditional models: dimensions by part of the data, and samples given a condition."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from mdvae.grid import Cell
from mdvae.loading import LoadedRun
from mdvae.plotting import colours_of, full_title, legend_below, plot_ad
from mdvae.rundir import Row

POINTS = 1_500
MAX_PARTED = 6
CONDITIONS = 4
# A model is drawn where its manifold, given the condition or not, has at most so many dimensions.
DRAWN_DIMENSIONS = 2


def draw_parts(run: LoadedRun, by_part: Sequence[Row]) -> Figure:
    """Above, AD of each part beside what is expected; below, how many samples have how many."""
    cells = [cell for cell in run.cells if len(cell.parts) > 1][:MAX_PARTED]
    figure = Figure(figsize=(3.0 * len(cells) + 1.0, 5.4), layout="constrained")
    panels = figure.subplots(2, len(cells), squeeze=False, sharex="col", sharey="row")
    image, top = None, max(_most_counted(run, cell) for cell in cells)
    for column, cell in enumerate(cells):
        mine = [row for row in by_part if row["cell"] == cell.name]
        places = np.arange(len(mine))
        axes = panels[0, column]
        axes.plot(places, [row["expected_ad"] for row in mine], ":", color="0.4", label="expected")
        plot_ad(axes, places, mine, run.config.ad_threshold, apart=0.2)
        axes.set_title(full_title(cell), fontsize=8)
        image = panels[1, column].imshow(
            _count_shares(run, cell)[:, : top + 1].T,
            origin="lower",
            aspect="auto",
            cmap=mpl.colormaps["Greys"],
            vmin=0,
            vmax=1,
        )
        panels[1, column].grid(visible=False)
        name = "class" if cell.data == "union" else "t"
        panels[1, column].set_xticks(places, [str(row["part"]) for row in mine])
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
    return max([*map(int, common), *(part.expected_ad for part in cell.parts)])


def _count_shares(run: LoadedRun, cell: Cell) -> np.ndarray:
    """Fractions of samples by part and count, over all seeds, [parts, kappa + 1]."""
    shares = np.zeros((len(cell.parts), cell.kappa + 1))
    places = {part.value: i for i, part in enumerate(cell.parts)}
    for row in run.counts:
        if row["cell"] == cell.name and row["fraction"] is not None:
            shares[places[row["part"]], row["active"]] += row["fraction"]
    return shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)


def _telling(run: LoadedRun) -> tuple[Cell, int] | None:
    """The first finished run of few enough dimensions to be seen, if any."""
    done = {(row["cell"], row["seed"]) for row in run.results if row["status"] == "ok"}
    found = (
        (cell, seed)
        for cell in run.cells
        for seed in run.seeds
        if (cell.name, seed) in done
        and (cell.r <= DRAWN_DIMENSIONS or cell.data == "union")
        and cell.d >= 2
        and cell.log_gamma is None
        and (cell.model == "cvae" or not any(each.model == "cvae" for each in run.cells))
        and run.is_saved(cell, seed)
    )
    return next(found, None)


def draw_samples(run: LoadedRun) -> Figure | None:
    """Data and samples of a model, given a few conditions, in the data's principal plane.

    None where no run is of a manifold that a plane can show.
    """
    telling = _telling(run)
    if telling is None:
        return None
    cell, seed = telling
    x, c = run.batch(cell, seed, POINTS)
    mean = x.mean(axis=0)
    _, _, axes_D = np.linalg.svd(x - mean, full_matrices=False)

    def plane(points: np.ndarray) -> np.ndarray:
        return (points - mean) @ axes_D[:2].T

    figure = Figure(figsize=(5.8 if c is None else 10.0, 3.1), layout="constrained")
    panels = figure.subplots(1, 2 if c is None else 3, sharex=True, sharey=True)
    panels[0].scatter(*plane(x).T, s=3, color="0.3")
    panels[0].set_title("data")
    panels[0].set_ylabel("second principal axis")
    panels[1].scatter(*plane(run.generate(cell, seed, POINTS, c)).T, s=3, color="0.3")
    panels[1].set_title("samples of the model")
    if c is not None:
        panels[2].scatter(*plane(x).T, s=2, color="0.85")
        panels[2].set_title("samples given c (grey: data)")
        union = cell.data == "union"
        chosen = np.unique(c, axis=0)[::-1] if union else _spread_out(c)
        for row, colour in zip(chosen, colours_of(len(chosen)), strict=True):
            points = run.generate(cell, seed, POINTS // 5, row[None], draw=1)
            label = f"class {np.argmax(row) + 1}" if union else f"{row[0]:.2g}"
            panels[2].scatter(*plane(points).T, s=4, color=colour, label=label)
        handles, labels = panels[2].get_legend_handles_labels()
        title = None if union else "first coordinate of c"
        figure.legend(
            handles,
            labels,
            loc="outside right center",
            markerscale=3,
            title=title,
            title_fontsize=8,
        )
    figure.supxlabel("first principal axis", size=9)
    figure.suptitle(full_title(cell, f"seed {seed}"), fontsize=9)
    return figure


def _spread_out(c: np.ndarray) -> np.ndarray:
    """A few conditions of the data, at quantiles of the first coordinate."""
    order = np.argsort(c[:, 0])
    places = np.linspace(0.1, 0.9, CONDITIONS) * (len(order) - 1)
    return c[order[places.astype(int)]]
