"""Extractors of features of images, from files of weights.

Classifiers of two data sets come with this package. The weights of Inception the user gives.
"""

from pathlib import Path
from typing import Any

from mdvae.networks import classifier
from mdvae.networks.features import Extractor, of_classifier, of_inception
from mdvae.settings.fields import unusable
from mdvae.store.inception_files import load_inception
from mdvae.store.weight_files import read_weights

WEIGHTS = Path(__file__).parent / "weights"
# The classifier that came with this package, by the name of a data set.
SHIPPED = {
    "mnist": "classifier_mnist.npz",
    "mnist_sample": "classifier_mnist.npz",
    "fashion_mnist": "classifier_fashion_mnist.npz",
    "fashion_sample": "classifier_fashion_mnist.npz",
}


def read_classifier(path: Path, field: str) -> tuple[classifier.Params, dict[str, Any]]:
    """The params in a file that `python -m mdvae.features --train` has written, and their origin.

    Args:
        field: what the user calls the file.

    Raises:
        ConfigError: one line on what is wrong with the file.
    """
    right = "give a file that `python -m mdvae.features --train` has written"
    weights = read_weights(path, classifier.shapes(), field, right)
    return classifier.from_arrays(weights.arrays), weights.about


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
    return of_classifier(read_classifier(file, "classifier")[0])


def inception_extractor(path: str, field: str = "--inception") -> Extractor:
    """The features of the FID; images of any size, grey or of three colours.

    Args:
        path: of PyTorch's weights, or of the .npz file made of them; see `inception_files`.
        field: what the user calls the file.

    Raises:
        ConfigError: where the file cannot be used, or its features are not what they must be.
    """
    return of_inception(load_inception(Path(path), field).weights)
