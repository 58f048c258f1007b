"""What sections on images look at: which runs, and which of their images."""

from typing import NamedTuple

import numpy as np

from mdvae.reports.base import View
from mdvae.settings.grid import Cell
from mdvae.store.models import Model

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


def is_of_images(cell: Cell) -> bool:
    """Whether samples are images, [height, width, channels]."""
    return len(cell.sizes.shape) == 3


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


def balanced(labels: np.ndarray, n: int) -> np.ndarray:
    """Places of n samples, by class, of each class as many as can be.

    Args:
        labels: [samples] whole numbers.
    """
    # How many of its class come before a sample.
    rank = np.array([np.sum(labels[:i] == label) for i, label in enumerate(labels)])
    first = np.lexsort((labels, rank))[:n]
    return first[np.lexsort((rank[first], labels[first]))]
