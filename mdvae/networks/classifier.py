"""A small classifier of grey images of 28 x 28 pixels, whose last hidden layer makes features.

The Frechet distance between such features is called FCD here. It is not the FID, whose features
are those of Inception (Heusel et al., 2017): a classifier of the very data set sees what tells its
classes apart, and knows nothing of other images.

Batches hold images as [n, height, width, channels]. Inside they are in blocks; see `convolutions`.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from mdvae.networks.convolutions import flatten, to_blocks
from mdvae.networks.images import Conv
from mdvae.networks.layers import Linear

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


def to_arrays(params: Params) -> dict[str, np.ndarray]:
    """Params as float32 arrays by name, as a file has them."""
    flat = flax.traverse_util.flatten_dict(params, sep=".")
    return {name: np.asarray(array) for name, array in flat.items()}


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Params:
    """The inverse of `to_arrays`."""
    return flax.traverse_util.unflatten_dict(dict(arrays), sep=".")


def shapes() -> dict[str, tuple[int, ...]]:
    """The shapes of what `to_arrays` gives, by name."""
    made: Any = jax.eval_shape(init, jax.random.key(0))
    flat: dict[str, Any] = flax.traverse_util.flatten_dict(made, sep=".")
    return {name: array.shape for name, array in flat.items()}
