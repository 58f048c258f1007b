"""Images: reconstructions, samples of the prior, and what moving along a latent changes."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mdvae.analysis.jacobian import codes
from mdvae.networks.base import depends_on_others
from mdvae.networks.convolutions import by_compiler
from mdvae.reports.base import Picture, Section, View
from mdvae.reports.imaging import (
    IMAGES,
    Shown,
    chosen,
    directions,
    evaluated,
    has_classes,
    is_of_images,
    moved_along,
    places_shown,
    ratios_of_points,
)
from mdvae.reports.mosaics import INCHES_OF_IMAGE, columns_at, show
from mdvae.reports.plotting import full_title
from mdvae.reports.tables import number
from mdvae.settings.registry import METHODS

COLUMNS = 10
SAMPLE_ROWS = 8
# Standard deviations of the prior that a traversal goes to either side, and in how many steps.
REACH, STEPS = 2.0, 11
ACTIVE_ROWS, INACTIVE_ROWS = 9, 3

TITLES = {
    "reconstructions.png": (
        "Evaluation images and their reconstructions (the decoder at the mean of q)"
    ),
    "image_samples.png": "Samples (the decoder at z of the prior)",
    "traversals.png": (
        "What moving along one latent changes; a superfluous one (ratio 1) changes nothing"
    ),
}


class Traversal(NamedTuple):
    """Images along directions of the latent space.

    Attributes:
        ratios: [rows], of the directions, ascending; see `imaging.Directions`.
        images: [rows, steps, height, width, channels].
        left_out: how many active and how many other directions have no row.
    """

    ratios: np.ndarray
    images: np.ndarray
    left_out: tuple[int, int]


def _title(shown: Shown) -> str:
    return full_title(shown.cell, f"seed {shown.seed}")


def _title_height(models: list[Shown]) -> float:
    """Inches of the highest title of some models."""
    return 0.13 * max(_title(shown).count("\n") + 1 for shown in models)


def _height(rows: int, columns: int, width: float) -> float:
    """Inches that rows of images take where so many columns take a width."""
    return width * rows / columns


def _draw_reconstructions(view: View, models: list[Shown]) -> Figure:
    """Pairs of rows: evaluation images, and the decoder at the mean of q(z | x)."""
    width = INCHES_OF_IMAGE * COLUMNS
    across = min(2, len(models))
    down = -(-len(models) // across)
    height = down * (_height(2, COLUMNS, width) + 0.23 + _title_height(models))
    figure = Figure(figsize=(across * (width + 0.9), height), layout="constrained")
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    for axes in panels[len(models) :]:
        axes.set_visible(False)
    for axes, shown in zip(panels, models, strict=False):
        x, c = evaluated(view, shown)
        made = shown.model.decode(codes(shown.model, x, c).mean, c)
        conditions = view.run.batch(shown.cell, shown.seed, IMAGES)[1]
        mine = places_shown(shown.cell, conditions, len(x), COLUMNS)
        pair = np.stack([x, made])[:, mine]
        show(axes, pair, ["data", "reconstruction"])
        axes.set_title(_title(shown), fontsize=7)
    return figure


def _draw_samples(view: View, models: list[Shown]) -> Figure:
    """The decoder's mean at z from the prior: a grid per model, of a CVAE a row per class.

    Given other conditions, each sample has those of an evaluation image.
    """
    classes = max(shown.cell.sizes.c * has_classes(shown.cell) for shown in models)
    rows, width = max(classes, SAMPLE_ROWS), INCHES_OF_IMAGE * SAMPLE_ROWS * 0.9
    height = _height(rows, SAMPLE_ROWS, width) + 0.78 + _title_height(models)
    figure = Figure(figsize=(len(models) * (width + 0.3), height), layout="constrained")
    panels = figure.subplots(1, len(models), squeeze=False)[0]
    for axes, shown in zip(panels, models, strict=True):
        told = shown.cell.sizes.c * has_classes(shown.cell)
        here = told or SAMPLE_ROWS
        n, c = here * SAMPLE_ROWS, None
        if told:
            c = np.repeat(np.eye(told), SAMPLE_ROWS, axis=0)
        elif shown.cell.is_told:
            given: Any = evaluated(view, shown)[1]
            c = np.resize(given, (n, given.shape[1]))
        images = shown.model.generate(n, c)
        labels = [str(k) for k in range(told)] if told else [""] * here
        show(axes, images.reshape(here, SAMPLE_ROWS, *images.shape[1:]), labels)
        axes.set_title(_title(shown), fontsize=7)
        axes.set_ylabel("class" if told else "", fontsize=8)
    return figure


def _rows_of(ratios: np.ndarray, threshold: float) -> np.ndarray:
    """Places of the directions that are shown, of ascending ratios: the ends and some between."""
    active = int(np.sum(ratios < threshold))
    others = len(ratios) - active
    first = min(active, max(ACTIVE_ROWS, ACTIVE_ROWS + INACTIVE_ROWS - others))
    last = min(others, max(INACTIVE_ROWS, ACTIVE_ROWS + INACTIVE_ROWS - active))
    ends = (np.linspace(0, active - 1, first), np.linspace(active, len(ratios) - 1, last))
    return np.unique(np.concatenate(ends).round().astype(int))


def traverse(view: View, shown: Shown) -> Traversal:
    """Images along the axes of z, or along the eigenvectors of a full covariance, from one image.

    The ratios are of the mean covariance of `IMAGES` evaluation images.
    """
    x, c = evaluated(view, shown)
    found = directions(shown.model, x, c, ratios_of_points(view, shown))
    threshold = view.run.config.analysis.ad_threshold
    rows = _rows_of(found.ratios, threshold)
    moves = np.linspace(-REACH, REACH, STEPS)
    images = moved_along(shown.model, found, rows, moves, None if c is None else c[0])
    active = found.ratios < threshold
    left_out = int(active.sum() - active[rows].sum()), int((~active).sum() - (~active[rows]).sum())
    return Traversal(found.ratios[rows], images, left_out)


def image_variances(images: np.ndarray) -> np.ndarray:
    """Variance of a pixel over the images of a row, mean over pixels and channels, [rows]."""
    return np.var(images, axis=1).mean(axis=(1, 2, 3))


def _draw_traversals(view: View, shown: Shown) -> Figure:
    """A row per latent, from the least encoder variance to the largest (TwoStage, Figure 10)."""
    found = traverse(view, shown)
    rows, width = len(found.ratios), INCHES_OF_IMAGE * STEPS
    size = (width + 1.7, _height(rows, STEPS, width) + 1.3)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    variances = image_variances(found.images)
    pairs = zip(found.ratios, variances, strict=True)
    labels = [f"{number(ratio, 2)};  {number(variance, 2)}" for ratio, variance in pairs]
    show(axes, found.images, labels)
    moves = np.linspace(-REACH, REACH, STEPS)
    columns_at(axes, found.images, [f"{move:+.1f}" if move else "0" for move in moves])
    ratio = METHODS.find(shown.cell.method.kind).ratio
    axes.set_ylabel(f"{ratio}; variance of the row's images", fontsize=8)
    left = [f"{n} {name}" for n, name in zip(found.left_out, ("active", "other"), strict=True) if n]
    more = f"\n(between these rows {' and '.join(left)} ones are left out)" if left else ""
    what = "eigenvector of the mean covariance" if _is_full(shown) else "latent"
    axes.set_xlabel(
        f"{what} moved from the code of one image, standard deviations of the prior{more}",
        fontsize=8,
    )
    axes.set_title(_title(shown), fontsize=8)
    return figure


def _is_full(shown: Shown) -> bool:
    return shown.cell.value("covariance") == "full"


def _counts(shown: Shown) -> bool:
    """Whether the method of a model tells latents in use from others."""
    kind = METHODS.find(shown.cell.method.kind)
    return kind.masked or not kind.point


def _pictures(view: View) -> list[Picture]:
    models = chosen(view)
    if not models:
        return []
    # Decoded by the statistics of its images, a traversal would show its own effect on these.
    alone = [each for each in models if not depends_on_others(each.cell) and _counts(each)]
    of_shown = [each for each in alone if each.cell.name == view.shown.name]
    # Applied to a few images without being compiled as a whole, networks are quickest so.
    with by_compiler():
        figures = {
            "reconstructions.png": _draw_reconstructions(view, models),
            "image_samples.png": _draw_samples(view, models),
        }
        for each in (of_shown or alone)[:1]:
            figures["traversals.png"] = _draw_traversals(view, each)
    return [Picture(file, TITLES[file], figure) for file, figure in figures.items()]


SECTION = Section(
    order=80,
    applies=lambda view: any(is_of_images(cell) for cell in view.run.cells),
    pictures=_pictures,
)
