"""What sections on images look at: which runs, and which of their images."""

from typing import NamedTuple

import numpy as np

from mdvae.analysis.jacobian import codes
from mdvae.reports.base import View
from mdvae.settings.grid import Cell
from mdvae.settings.registry import DATA, METHODS
from mdvae.store.models import Model

# What data call parts that a condition tells one-hot.
CLASS = "class"
# Cells of which images are shown.
CELLS = 4
# Evaluation images that models are applied to: the same number everywhere, for most of the time
# goes into compiling; and few, as a Jacobian takes kappa passes through the decoder for each.
IMAGES = 64


class Shown(NamedTuple):
    """A trained model of images."""

    cell: Cell
    seed: int
    model: Model


class Directions(NamedTuple):
    """Directions of the latent space at the code of one image.

    Attributes:
        code: [kappa], the mean of q(z | x) of the image.
        ratios: [kappa], encoder over prior variance along each direction, or what a method counts
            latents by in its place, ascending.
        steps: [kappa, kappa], a row per direction: one standard deviation of the prior along it.
    """

    code: np.ndarray
    ratios: np.ndarray
    steps: np.ndarray


def is_of_images(cell: Cell) -> bool:
    """Whether samples are images, [height, width, channels]."""
    return len(cell.sizes.shape) == 3


def has_classes(cell: Cell) -> bool:
    """Whether the conditions of a cell's data are classes, one-hot."""
    return DATA.find(cell.data.kind).part_name == CLASS


def places_shown(cell: Cell, conditions: np.ndarray | None, n: int, most: int) -> np.ndarray:
    """Places of the samples that are shown of n: at most so many, of each class alike if there are.

    Args:
        conditions: of the data, [n, c]; None where there are none.
    """
    if conditions is None or not has_classes(cell):
        return np.arange(min(n, most))
    return balanced(conditions.argmax(axis=1), most)


def saved_seed(view: View, cell: Cell) -> int | None:
    """The first seed of a cell that is done and sound, and of which there is a checkpoint."""
    done = [r["seed"] for r in view.run.results if r["cell"] == cell.name and r["status"] == "ok"]
    return next((seed for seed in sorted(done) if view.run.is_saved(cell, seed)), None)


def chosen(view: View, most: int = CELLS) -> list[Shown]:
    """The cell that is shown and others of images that have a model, in the order of the grid."""
    cells = [cell for cell in view.run.cells if is_of_images(cell)]
    first = [cell for cell in cells if cell.name == view.shown.name]
    found: list[Shown] = []
    for cell in first + [cell for cell in cells if cell not in first]:
        seed = saved_seed(view, cell)
        if seed is not None and len(found) < most:
            found.append(Shown(cell, seed, view.run.model(cell, seed)))
    return sorted(found, key=lambda shown: cells.index(shown.cell))


def evaluated(view: View, shown: Shown) -> tuple[np.ndarray, np.ndarray | None]:
    """Some evaluation images, and what the model is told of them; None of a VAE."""
    x, c = view.run.batch(shown.cell, shown.seed, IMAGES)
    return x, c if shown.cell.is_told else None


def ratios_of_points(view: View, shown: Shown) -> np.ndarray | None:
    """What latents of a model are counted by whose encoder has no variance, [kappa].

    0, in use, where its method counts none; None of an encoder with a variance.
    """
    if not METHODS.find(shown.cell.method.kind).point:
        return None
    found = view.run.mean_spectra.get((shown.cell.name, shown.seed))
    return np.zeros(shown.cell.sizes.kappa) if found is None else found


def balanced(labels: np.ndarray, n: int) -> np.ndarray:
    """Places of n samples, by class, of each class as many as can be.

    Args:
        labels: [samples] whole numbers.
    """
    # How many of its class come before a sample.
    rank = np.array([np.sum(labels[:i] == label) for i, label in enumerate(labels)])
    first = np.lexsort((labels, rank))[:n]
    return first[np.lexsort((rank[first], labels[first]))]


def directions(
    model: Model,
    x: np.ndarray,
    c: np.ndarray | None = None,
    given: np.ndarray | None = None,
) -> Directions:
    """The axes of z, or the eigenvectors of a full covariance, at the code of the first image.

    Args:
        x: [n, height, width, channels], images over which the covariance is a mean.
        c: [n, c], what the model is told of them; None of a VAE.
        given: [kappa], ratios of the latents of a model whose encoder has no variance.
    """
    found = codes(model, x, c)
    mean_KK = found.covariance.mean(axis=0)
    if given is None and model.cell.value("covariance") == "full":
        ratios, directions_KK = np.linalg.eigh(mean_KK)
    else:
        ratios = np.diagonal(mean_KK) if given is None else given
        directions_KK = np.eye(len(mean_KK))
    order = np.argsort(ratios)
    # Columns of the matrix are directions, in units of the prior.
    steps_KK = found.scale[0] * directions_KK[:, order].T
    return Directions(found.mean[0], ratios[order], steps_KK)


def moved_along(
    model: Model,
    found: Directions,
    rows: np.ndarray,
    moves: np.ndarray,
    c: np.ndarray | None = None,
) -> np.ndarray:
    """Images decoded from a code that is moved, [rows, moves, height, width, channels].

    Args:
        rows: places of directions.
        moves: [moves], along each of them, in standard deviations of the prior.
        c: [c], what the model is told; None of a VAE.
    """
    away_RSK = moves[None, :, None] * found.steps[rows][:, None]
    z = (found.code + away_RSK).reshape(-1, len(found.code))
    images = model.decode(z, None if c is None else np.repeat(c[None], len(z), axis=0))
    return images.reshape(len(rows), len(moves), *images.shape[1:])
