"""Points on shapes of known dimension, in any number of columns."""

import numpy as np


def rotation(generator, d):
    return np.linalg.qr(generator.normal(size=(d, d)))[0]


def embedded(x, columns, generator):
    """The same distances, in more columns."""
    return np.pad(x, ((0, 0), (0, columns - x.shape[1]))) @ rotation(generator, columns)


def sphere(n, d, generator):
    x = generator.normal(size=(n, d + 1))
    return x / np.linalg.norm(x, axis=1, keepdims=True)
