"""Images of two stages: samples of each, and what noise on single latents of the first changes."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mdvae.networks.base import depends_on_others
from mdvae.networks.convolutions import by_compiler
from mdvae.reports.base import Picture, Section, View
from mdvae.reports.imaging import (
    CELLS,
    IMAGES,
    directions,
    is_of_images,
    moved_along,
    places_shown,
    saved_seed,
)
from mdvae.reports.mosaics import INCHES_OF_IMAGE, show
from mdvae.reports.plotting import first_of, full_title
from mdvae.reports.sections.images import image_variances
from mdvae.reports.staging import opened, staged_cells
from mdvae.reports.tables import number
from mdvae.settings.grid import Cell
from mdvae.stages.pipeline import Stages, TwoStages
from mdvae.store.models import Model

COLUMNS = 10
ROWS = ("data", "reconstructions", "one stage", "two stages")
# Cells whose latents are moved, of each how many latents, and images of each.
MOVED_CELLS, LATENTS, MOVED = 2, 8, 15


class Pair(NamedTuple):
    """The two trained models of a cell, and what the cell is called."""

    name: str
    cell: Cell
    seed: int
    models: TwoStages


class Moved(NamedTuple):
    """Images from the code of one image with noise along single latents.

    Attributes:
        variances: lambda_j of the latents shown, ascending, [rows].
        images: [rows, images, height, width, channels].
    """

    variances: np.ndarray
    images: np.ndarray


def _images_cells(view: View) -> list[str]:
    """The cells of a second stage whose first is of images, in the order of the grid."""
    if not view.is_second or opened(view).stages is None:
        return []
    return [name for name, cell in staged_cells(view).items() if is_of_images(cell)]


def _pairs(view: View, stages: Stages) -> list[Pair]:
    """The cells of images that have models: the one that is shown, and then others."""
    names, cells = _images_cells(view), staged_cells(view)
    found = []
    for name in sorted(names, key=lambda name: name != view.shown.name):
        seed = saved_seed(view, view.cells[name])
        if seed is not None and stages.first.is_saved(view.cells[name].data.cell, seed):
            found.append(Pair(name, cells[name], seed, stages.pair(name, seed)))
    return found


def sample_rows(stages: Stages, pair: Pair) -> np.ndarray:
    """Held-out images, reconstructions at a draw of z, and samples of one stage and of two.

    Returns:
        [4, COLUMNS, height, width, channels].
    """
    cell = pair.models.first.cell
    x, conditions = stages.first.batch(cell, pair.seed, IMAGES)
    x = x[places_shown(cell, conditions, len(x), COLUMNS)]
    one, two = pair.models.generate_first(COLUMNS), pair.models.generate(COLUMNS)
    return np.stack([x, pair.models.reconstruct(x), one, two])


def _draw_samples(stages: Stages, pairs: list[Pair]) -> Figure:
    """Four rows of images a cell."""
    width = INCHES_OF_IMAGE * COLUMNS
    across = min(2, len(pairs))
    down = -(-len(pairs) // across)
    height = down * (width * len(ROWS) / COLUMNS + 0.45)
    figure = Figure(figsize=(across * (width + 0.9), height), layout="constrained")
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    for axes in panels[len(pairs) :]:
        axes.set_visible(False)
    for axes, pair in zip(panels, pairs, strict=False):
        show(axes, sample_rows(stages, pair), ROWS)
        axes.set_title(full_title(pair.cell, f"seed {pair.seed}"), fontsize=7)
    return figure


def moved_images(model: Model, x: np.ndarray, seed: int) -> Moved:
    """Decodes the code of the first image with noise along one latent after another.

    The same draws of N(0, 1), in units of the prior, are added along every latent; of a full
    covariance along the eigenvectors of its mean.

    Args:
        x: [n, height, width, channels], held-out images over which lambda_j is a mean.
    """
    found = directions(model, x)
    ends = np.linspace(0, len(found.ratios) - 1, LATENTS)
    rows = np.unique(ends.round().astype(int))
    noise = np.random.default_rng(seed).standard_normal(MOVED)
    return Moved(found.ratios[rows], moved_along(model, found, rows, noise))


def _draw_moved(stages: Stages, pairs: list[Pair]) -> Figure:
    """A row per latent, from the least variance of the encoder to the largest."""
    width = 0.8 * INCHES_OF_IMAGE * MOVED
    rows = max(min(LATENTS, pair.cell.sizes.kappa) for pair in pairs)
    size = (len(pairs) * (width + 1.6), width * rows / MOVED + 0.8)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    for i, (axes, pair) in enumerate(zip(panels, pairs, strict=True)):
        model = pair.models.first
        x, _ = stages.first.batch(model.cell, pair.seed, IMAGES)
        moved = moved_images(model, x, pair.seed)
        values = zip(moved.variances, image_variances(moved.images), strict=True)
        show(axes, moved.images, [f"{number(a, 2)};  {number(b, 2)}" for a, b in values])
        if i == 0:
            axes.set_ylabel("λ of the latent; variance of the row's images", fontsize=8)
        axes.set_title(full_title(pair.cell, f"seed {pair.seed}"), fontsize=7)
    figure.supxlabel(
        "code of one held-out image with N(0, 1) noise along one latent, decoded", size=8
    )
    return figure


def _pictures(view: View) -> list[Picture]:
    stages = opened(view).stages
    pairs = _pairs(view, stages) if stages is not None else []
    if stages is None or not pairs:
        return []
    order = list(view.cells)
    shown = sorted(pairs[:CELLS], key=lambda pair: order.index(pair.name))
    more = first_of(len(pairs), CELLS, "cells")
    # Decoded by the statistics of its images, a row would show its own effect on these.
    alone = [pair for pair in pairs if not depends_on_others(pair.models.first.cell)]
    moved = sorted(alone[:MOVED_CELLS], key=lambda pair: order.index(pair.name))
    with by_compiler():
        found = [
            Picture(
                "stage_samples.png",
                "Held-out images, their reconstructions at a draw of z, samples of one stage and"
                f" of two{more}",
                _draw_samples(stages, shown),
            )
        ]
        if moved:
            title = (
                "What noise along one latent of the first stage changes, by λ, the mean variance of"
                " the posterior; a superfluous latent (λ = 1) changes nothing"
            )
            found.append(Picture("latent_noise.png", title, _draw_moved(stages, moved)))
    return found


SECTION = Section(order=81, applies=lambda view: bool(_images_cells(view)), pictures=_pictures)
