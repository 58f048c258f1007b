"""Images given to a network some at a time, whatever their number and type."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mdvae.settings.fields import ConfigError, unusable


def check_images(images: np.ndarray) -> None:
    """Refuses what is no images [n, height, width, channels], uint8 or floats in [0, 1].

    Raises:
        ConfigError: one line on what they are and must be.
    """
    if images.ndim != 4 or min(images.shape[1:]) < 1:
        raise unusable("images", images.shape, "of shape (n, height, width, channels)")
    if images.dtype == np.uint8:
        return
    if images.dtype.kind != "f":
        raise ConfigError(f"images: values of type {images.dtype}; they must be uint8 or floats")
    low, high = (float(of(images, initial=0.0)) for of in (np.min, np.max))
    # Such that NaN is refused too.
    if not low >= 0.0 or not high <= 1.0:
        raise unusable("images", high if low >= 0.0 else low, "in [0, 1], as all floats")


def by_batches(
    apply: Callable[[np.ndarray], Any], images: np.ndarray, batch: int, width: int
) -> np.ndarray:
    """Features [n, width] of checked images, float32.

    Args:
        apply: float32 images [batch, height, width, channels] in [0, 1] -> [batch, width]. The last
            batch is filled up with black ones, so that all are of one size.
    """
    found = np.empty((len(images), width), np.float32)
    for first in range(0, len(images), batch):
        some = images[first : first + batch]
        x = some.astype(np.float32)
        if some.dtype == np.uint8:
            x = x / np.float32(255.0)
        filled = np.pad(x, ((0, batch - len(x)), (0, 0), (0, 0), (0, 0)))
        found[first : first + batch] = np.asarray(apply(filled))[: len(x)]
    return found
