"""Features of images, on which distances between distributions of images are taken.

FCD is taken on those of a classifier of the data set itself, FID on those of Inception. Neither
number can be compared with the other. Weights are opened by `store.extractors`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from mdvae.networks import classifier, inception
from mdvae.networks.image_batches import by_batches, check_images
from mdvae.settings.fields import unusable

FCD, FID = "FCD", "FID"
# Images that are given to a classifier together, and to Inception.
BATCH = 512
INCEPTION_BATCH, INCEPTION_BATCH_CPU = 64, 4


# Apart, so that images of another size compile the scaling alone; and so that the network is
# compiled for the probe of a file and for all images at once.
_scale, _network = jax.jit(inception.prepared), jax.jit(inception.pool3)


class Extractor(NamedTuple):
    """Features of images, and the distance that is taken on them.

    Attributes:
        name: of the distance, "FCD" or "FID".
        width: how many features there are.
        features: images [n, height, width, channels], uint8 or floats in [0, 1] -> float32
            [n, width]; compiled once, whatever n. A ConfigError says what images cannot be used.
    """

    name: str
    width: int
    features: Callable[[np.ndarray], np.ndarray]


def of_classifier(params: classifier.Params) -> Extractor:
    """The features of FCD, from the last hidden layer of a classifier of a data set."""
    params = jax.device_put(params)
    compiled = jax.jit(classifier.features)

    def features(images: np.ndarray) -> np.ndarray:
        check_images(images)
        if images.shape[1:] != classifier.SHAPE:
            right = "of shape (n, 28, 28, 1), as the classifier was trained on"
            raise unusable("images", images.shape, right)
        return by_batches(lambda x: compiled(params, x), images, BATCH, classifier.WIDTH)

    return Extractor(FCD, classifier.WIDTH, features)


def inception_features(weights: Mapping[str, Any], images: np.ndarray) -> np.ndarray:
    """The features [n, 2048] of checked images [n, height, width, 1 or 3], float32.

    Args:
        weights: as `inception.pool3` takes them.
    """
    batch = INCEPTION_BATCH_CPU if jax.default_backend() == "cpu" else INCEPTION_BATCH
    return by_batches(lambda x: _network(weights, _scale(x)), images, batch, inception.WIDTH)


def of_inception(weights: Mapping[str, Any]) -> Extractor:
    """The features of the FID; images of any size, grey or of three colours.

    Args:
        weights: as `inception.pool3` takes them.
    """
    weights = jax.device_put(weights)

    def features(images: np.ndarray) -> np.ndarray:
        check_images(images)
        if images.shape[3] not in (1, 3):
            raise unusable("images", images.shape, "of 1 or 3 channels, the last axis")
        return inception_features(weights, images)

    return Extractor(FID, inception.WIDTH, features)


def stretched(images: np.ndarray) -> np.ndarray:
    """Images of which each has its least value at 0 and its largest at 1, float32.

    The published evaluation did so with every generated image, and with no real one. An image of
    one value, which it would have divided by zero, is 0 here.

    Args:
        images: [n, height, width, channels], of any real dtype.
    """
    x = np.asarray(images, np.float32)
    low = x.min(axis=(1, 2, 3), keepdims=True)
    span = x.max(axis=(1, 2, 3), keepdims=True) - low
    return (x - low) / np.where(span > 0, span, np.float32(1.0))
