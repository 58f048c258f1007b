"""Images beside and below each other, in one panel."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

# Pixels of white between images.
GAP = 1
INCHES_OF_IMAGE = 0.42


def mosaic(images: np.ndarray) -> np.ndarray:
    """Images [rows, columns, height, width, channels] as one, white between them."""
    pads = [(0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0)]
    padded = np.pad(np.clip(images, 0.0, 1.0), pads, constant_values=1.0)
    rows, columns, height, width, channels = padded.shape
    joined = np.moveaxis(padded, 2, 1).reshape(rows * height, columns * width, channels)
    return joined[:-GAP, :-GAP]


def show(axes: Axes, images: np.ndarray, labels: Sequence[str], size: float = 7.0) -> None:
    """Draws images [rows, columns, height, width, channels], with a label left of each row."""
    whole = mosaic(images)
    # One channel is grey; of four or more there is no telling what they are.
    shown = whole if whole.shape[-1] == 3 else whole[..., 0]
    axes.imshow(shown, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    axes.grid(visible=False)
    axes.set_xticks([])
    height = images.shape[2]
    middles = [(height + GAP) * row + height / 2 for row in range(len(images))]
    axes.set_yticks(middles, labels, fontsize=size)
    axes.tick_params(left=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def columns_at(axes: Axes, images: np.ndarray, labels: Sequence[str], size: float = 7.0) -> None:
    """Labels the columns of what `show` has drawn, below them; an empty label is none."""
    width = images.shape[3]
    places = [(width + GAP) * column + width / 2 for column in range(images.shape[1])]
    axes.set_xticks(places, labels, fontsize=size)
    axes.tick_params(bottom=False)
