"""Data and samples of a model in a plane, where a manifold is small enough to be seen."""

import numpy as np
from matplotlib.figure import Figure

from mdvae.reports.base import Picture, Section, View
from mdvae.reports.plotting import colours_of, full_title
from mdvae.settings.grid import Cell
from mdvae.settings.registry import DATA

POINTS = 1_500
CONDITIONS = 4
# A model is drawn where its manifold, given the condition or not, has at most so many dimensions.
DRAWN_DIMENSIONS = 2


def _telling(view: View) -> tuple[Cell, int] | None:
    """The first finished run of few enough dimensions to be seen, if any."""
    run = view.run
    done = {(row["cell"], row["seed"]) for row in run.results if row["status"] == "ok"}
    found = (
        (cell, seed)
        for cell in run.cells
        for seed in run.seeds
        if (cell.name, seed) in done
        and _can_be_seen(cell)
        and (cell.is_told or not any(each.is_told for each in run.cells))
        and run.is_saved(cell, seed)
    )
    return next(found, None)


def _can_be_seen(cell: Cell) -> bool:
    """Whether vectors lie near a manifold that a plane can show, gamma learned."""
    known = [part.dimension for part in cell.parts if part.dimension is not None]
    few = bool(known) and min(known) <= DRAWN_DIMENSIONS
    vectors = DATA.find(cell.data.kind).shapes(cell.sizes)["x"] == (cell.sizes.d,)
    return few and vectors and cell.sizes.d >= 2 and cell.value("log_gamma") is None


def _classes(cell: Cell) -> bool:
    """Whether the condition is a class."""
    return DATA.find(cell.data.kind).part_name == "class"


def _pictures(view: View) -> list[Picture]:
    telling = _telling(view)
    if telling is None:
        return []
    return [Picture("samples.png", "Data and samples of the model", _draw(view, *telling))]


def _draw(view: View, cell: Cell, seed: int) -> Figure:
    """Data and samples of a model, given a few conditions, in the data's principal plane."""
    run = view.run
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
        by_class = _classes(cell)
        chosen = np.unique(c, axis=0)[::-1] if by_class else _spread_out(c)
        for row, colour in zip(chosen, colours_of(len(chosen)), strict=True):
            points = run.generate(cell, seed, POINTS // 5, row[None], draw=1)
            label = f"class {np.argmax(row) + 1}" if by_class else f"{row[0]:.2g}"
            panels[2].scatter(*plane(points).T, s=4, color=colour, label=label)
        handles, labels = panels[2].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside right center",
            markerscale=3,
            title=None if by_class else "first coordinate of c",
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


SECTION = Section(
    order=80,
    applies=lambda view: any(_can_be_seen(cell) for cell in view.run.cells),
    pictures=_pictures,
)
