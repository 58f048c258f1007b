"""A small classifier of grey images of 28 x 28 pixels, whose last hidden layer makes features.

The Frechet distance between such features is called FCD here. It is not the FID, whose features
are those of Inception (Heusel et al., 2017): a classifier of the very data set sees what tells its
classes apart, and knows nothing of other images.

Batches hold images as [n, height, width, channels]. Inside they are in blocks; see `convolutions`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from mdvae.networks.convolutions import flatten, to_blocks
from mdvae.networks.images import Conv
from mdvae.networks.layers import Linear
from mdvae.networks.weight_files import Weights, read_weights

Params = Mapping[str, Any]
# Height, width and channels of an image.
SHAPE = (28, 28, 1)
CLASSES = 10
# Of the last hidden layer.
WIDTH = 64
# Channels and size of the kernels of the convolutions, each of which halves the image.
CONVOLUTIONS = ((16, 5), (32, 3), (64, 3))


class Classifier(nn.Module):
    """Images in blocks -> features [WIDTH, n] and logits [CLASSES, n]."""

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        for i, (channels, size) in enumerate(CONVOLUTIONS):
            layer = Conv(channels, size, stride=2, use_bias=True, name=f"convolution{i}")
            x = jax.nn.relu(layer(x))
        features = jax.nn.relu(Linear((WIDTH,), name="hidden")(flatten(x)))
        return features, Linear((CLASSES,), name="output")(features)


def init(key: jax.Array) -> Params:
    """Untrained params, about 90,000 numbers."""
    return Classifier().init(key, to_blocks(jnp.zeros((1, *SHAPE))))["params"]


def features(params: Params, x: jax.Array) -> jax.Array:
    """What the last layer sees of images [n, 28, 28, 1] in [0, 1]; [n, WIDTH], 0 or more."""
    return _apply(params, x)[0].T


def logits(params: Params, x: jax.Array) -> jax.Array:
    """Unnormalised log-probabilities of the classes, [n, CLASSES]; x as for `features`."""
    return _apply(params, x)[1].T


def _apply(params: Params, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    made: Any = Classifier().apply({"params": params}, to_blocks(x))
    return made


def to_weights(params: Params, about: dict[str, Any]) -> Weights:
    """Params as a file of weights has them; `about` says where they come from."""
    flat = flax.traverse_util.flatten_dict(params, sep=".")
    return Weights({name: np.asarray(array) for name, array in flat.items()}, about)


def read_classifier(path: Path, field: str) -> tuple[Params, dict[str, Any]]:
    """The params in a file that `python -m mdvae.features --train` has written, and their origin.

    Args:
        field: what the user calls the file.

    Raises:
        ConfigError: one line on what is wrong with the file.
    """
    made: Any = jax.eval_shape(init, jax.random.key(0))
    flat: dict[str, Any] = flax.traverse_util.flatten_dict(made, sep=".")
    shapes = {name: array.shape for name, array in flat.items()}
    right = "give a file that `python -m mdvae.features --train` has written"
    weights = read_weights(path, shapes, field, right)
    return flax.traverse_util.unflatten_dict(weights.arrays, sep="."), weights.about
