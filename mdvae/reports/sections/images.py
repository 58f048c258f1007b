"""Images: reconstructions, samples of the prior, and what moving along a latent changes."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mdvae.analysis.jacobian import codes
from mdvae.reports.base import Picture, Section, View
from mdvae.reports.imaging import Shown, balanced, chosen, evaluated, is_of_images
from mdvae.reports.mosaics import INCHES_OF_IMAGE, columns_at, show
from mdvae.reports.plotting import full_title
from mdvae.reports.tables import number

COLUMNS = 10
SAMPLE_ROWS = 8
# Among so many evaluation images those that are shown are looked for.
LOOKED_AT = 500
# Standard deviations of the prior that a traversal goes to either side, and in how many steps.
REACH, STEPS = 2.0, 11
ACTIVE_ROWS, INACTIVE_ROWS = 9, 3


class Traversal(NamedTuple):
    """Images along directions of the latent space.

    Attributes:
        ratios: [rows], encoder over prior variance along each direction, ascending.
        images: [rows, steps, height, width, channels].
        left_out: how many active and how many other directions have no row.
    """

    ratios: np.ndarray
    images: np.ndarray
    left_out: tuple[int, int]


def _title(shown: Shown) -> str:
    return full_title(shown.cell, f"seed {shown.seed}")


def _height(rows: int, columns: int, width: float) -> float:
    """Inches that rows of images take where so many columns take a width."""
    return width * rows / columns


def _draw_reconstructions(view: View, models: list[Shown]) -> Figure:
    """Pairs of rows: evaluation images, and the decoder at the mean of q(z | x)."""
    width = INCHES_OF_IMAGE * COLUMNS
    across = min(2, len(models))
    down = -(-len(models) // across)
    height = down * (_height(2, COLUMNS, width) + 0.5) + 0.2
    figure = Figure(figsize=(across * (width + 0.9), height), layout="constrained")
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    for axes in panels[len(models) :]:
        axes.set_visible(False)
    for axes, shown in zip(panels, models, strict=False):
        x, c = evaluated(view, shown, LOOKED_AT)
        labels = view.run.batch(shown.cell, shown.seed, LOOKED_AT)[1]
        if labels is not None:
            mine = balanced(labels.argmax(axis=1), COLUMNS)
            x, c = x[mine], None if c is None else c[mine]
        x, c = x[:COLUMNS], None if c is None else c[:COLUMNS]
        mean, _ = shown.model.encode(x, c)
        made = shown.model.decode(mean, c)
        show(axes, np.stack([x, made]), ["data", "reconstruction"])
        axes.set_title(_title(shown), fontsize=7)
    return figure


def _draw_samples(models: list[Shown]) -> Figure:
    """The decoder's mean at z from the prior: a grid per model, of a CVAE a row per class."""
    classes = max(shown.cell.sizes.c for shown in models)
    rows, width = max(classes, SAMPLE_ROWS), INCHES_OF_IMAGE * SAMPLE_ROWS * 0.9
    height = _height(rows, SAMPLE_ROWS, width) + 0.6
    figure = Figure(figsize=(len(models) * (width + 0.3), height), layout="constrained")
    panels = figure.subplots(1, len(models), squeeze=False)[0]
    for axes, shown in zip(panels, models, strict=True):
        told = shown.cell.sizes.c
        here = told or SAMPLE_ROWS
        c = np.repeat(np.eye(told), SAMPLE_ROWS, axis=0) if told else None
        images = shown.model.generate(here * SAMPLE_ROWS, c)
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

    The ratios are of the mean covariance of `LOOKED_AT` evaluation images.
    """
    x, c = evaluated(view, shown, LOOKED_AT)
    found = codes(shown.model, x, c)
    mean_KK = found.covariance.mean(axis=0)
    if shown.cell.value("covariance") == "full":
        ratios, directions_KK = np.linalg.eigh(mean_KK)
    else:
        ratios, directions_KK = np.diagonal(mean_KK), np.eye(len(mean_KK))
    order = np.argsort(ratios)
    threshold = view.run.config.analysis.ad_threshold
    rows = order[_rows_of(ratios[order], threshold)]
    moves_S = np.linspace(-REACH, REACH, STEPS)
    # Columns of the matrix are directions, in units of the prior.
    away_RSK = moves_S[None, :, None] * (found.scale[0] * directions_KK[:, rows].T)[:, None]
    z = (found.mean[0] + away_RSK).reshape(-1, len(mean_KK))
    images = shown.model.decode(z, None if c is None else np.repeat(c[:1], len(z), axis=0))
    active = ratios < threshold
    left_out = int(active.sum() - active[rows].sum()), int((~active).sum() - (~active[rows]).sum())
    return Traversal(ratios[rows], images.reshape(len(rows), STEPS, *images.shape[1:]), left_out)


def image_variances(images: np.ndarray) -> np.ndarray:
    """Variance of a pixel over the images of a row, mean over pixels and channels, [rows]."""
    return np.var(images, axis=1).mean(axis=(1, 2, 3))


def _draw_traversals(view: View, shown: Shown) -> Figure:
    """A row per latent, from the least encoder variance to the largest (TwoStage, Figure 10)."""
    found = traverse(view, shown)
    rows, width = len(found.ratios), INCHES_OF_IMAGE * STEPS
    size = (width + 2.2, _height(rows, STEPS, width) + 1.3)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    variances = image_variances(found.images)
    pairs = zip(found.ratios, variances, strict=True)
    labels = [f"{number(ratio, 2)};  {number(variance, 2)}" for ratio, variance in pairs]
    show(axes, found.images, labels)
    moves = np.linspace(-REACH, REACH, STEPS)
    columns_at(axes, found.images, [f"{move:+.1f}" if move else "0" for move in moves])
    axes.set_ylabel("encoder over prior variance; variance of the row's images", fontsize=8)
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


def _pictures(view: View) -> list[Picture]:
    models = chosen(view)
    if not models:
        return []
    of_shown = next((each for each in models if each.cell.name == view.shown.name), models[0])
    words = "Evaluation images and their reconstructions (the decoder at the mean of q)"
    return [
        Picture("reconstructions.png", words, _draw_reconstructions(view, models)),
        Picture(
            "image_samples.png", "Samples (the decoder at z of the prior)", _draw_samples(models)
        ),
        Picture(
            "traversals.png",
            "What moving along one latent changes; a superfluous one (ratio 1) changes nothing",
            _draw_traversals(view, of_shown),
        ),
    ]


SECTION = Section(
    order=80,
    applies=lambda view: view.has_counts and any(is_of_images(cell) for cell in view.run.cells),
    pictures=_pictures,
)
