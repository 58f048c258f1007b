"""Features of images, on which distances between distributions of images are taken.

FCD is taken on those of a classifier of the data set itself, which come with this package for two
data sets. FID is taken on those of Inception, whose weights the user gives. Neither number can be
compared with the other.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from mdvae.networks import classifier, inception
from mdvae.networks.image_batches import by_batches, check_images
from mdvae.networks.inception_files import inception_features, load_inception
from mdvae.settings.fields import unusable

FCD, FID = "FCD", "FID"
WEIGHTS = Path(__file__).parent / "weights"
# The classifier that came with this package, by the name of a data set.
SHIPPED = {
    "mnist": "classifier_mnist.npz",
    "mnist_sample": "classifier_mnist.npz",
    "fashion_mnist": "classifier_fashion_mnist.npz",
    "fashion_sample": "classifier_fashion_mnist.npz",
}
# Images that are given to a classifier together.
BATCH = 512


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


def classifier_extractor(dataset: str, path: str = "") -> Extractor:
    """The features of FCD, from the last hidden layer of a classifier of a data set.

    Args:
        dataset: its name in `data.image_sources`.
        path: of a classifier that `python -m mdvae.features --train` has written, in the place of
            the one that came with this package; the name of the data set then does not matter.

    Raises:
        ConfigError: where there is no classifier, or the file cannot be used.
    """
    if not path and dataset not in SHIPPED:
        right = f"one of {', '.join(SHIPPED)}, of which there are classifiers"
        raise unusable("data.dataset", dataset, right)
    file = Path(path) if path else WEIGHTS / SHIPPED[dataset]
    params = jax.device_put(classifier.read_classifier(file, "classifier")[0])
    compiled = jax.jit(classifier.features)

    def features(images: np.ndarray) -> np.ndarray:
        check_images(images)
        if images.shape[1:] != classifier.SHAPE:
            right = "of shape (n, 28, 28, 1), as the classifier was trained on"
            raise unusable("images", images.shape, right)
        return by_batches(lambda x: compiled(params, x), images, BATCH, classifier.WIDTH)

    return Extractor(FCD, classifier.WIDTH, features)


def inception_extractor(path: str, field: str = "--inception") -> Extractor:
    """The features of the FID; images of any size, grey or of three colours.

    Args:
        path: of PyTorch's weights, or of the .npz file made of them; see `inception_files`.
        field: what the user calls the file.

    Raises:
        ConfigError: where the file cannot be used, or its features are not what they must be.
    """
    weights = jax.device_put(load_inception(Path(path), field).weights)

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
