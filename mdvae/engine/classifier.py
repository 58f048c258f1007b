"""Training of the classifier whose features images are compared by; see `networks.classifier`."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mdvae.data.files import content_of
from mdvae.data.image_files import Images
from mdvae.data.image_sources import NAMED
from mdvae.networks import classifier
from mdvae.store.weight_files import Weights

BATCH = 128
# Of Adam, falling to 0 along a cosine.
LEARNING_RATE = 2e-3
# Pixels by which training images are moved at most, up, down and to the sides.
SHIFT = 2
# Data sets of images that the classifier takes.
DATASETS = tuple(
    name
    for name, known in NAMED.items()
    if known.shape == classifier.SHAPE and known.classes == classifier.CLASSES
)
# Told how many steps more are done, and a note.
Progress = Callable[[int, str], None]


def shifted(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images [n, height, width, channels], each moved by up to SHIFT pixels; zeros come in."""
    n, height, width, _ = x.shape
    padded = np.pad(x, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)))
    rows, columns = rng.integers(0, 2 * SHIFT + 1, (2, n, 1))
    rows, columns = rows + np.arange(height), columns + np.arange(width)
    return padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def batches(images: Images, epochs: int, rng: np.random.Generator) -> Iterator[Images]:
    """Batches of shifted images in a new order each epoch, of which the last few are left out."""
    assert images.y is not None
    for _ in range(epochs):
        order = rng.permutation(len(images.x))
        for first in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[first : first + BATCH]
            yield Images(shifted(images.x[chosen], rng), images.y[chosen])


def steps_of(images: Images, epochs: int) -> int:
    """How many steps a training takes."""
    return epochs * (len(images.x) // BATCH)


def train_classifier(
    images: Images, epochs: int, seed: int, progress: Progress | None = None
) -> classifier.Params:
    """Params of the classifier trained on images of uint8 with labels.

    Args:
        seed: of the first weights and of the order of images.
        progress: told after each step.
    """
    optimiser = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, steps_of(images, epochs)))
    params = jax.jit(classifier.init)(jax.random.key(seed))
    state = optimiser.init(params)

    def loss_of(params: classifier.Params, x: jax.Array, y: jax.Array) -> jax.Array:
        scores = classifier.logits(params, x.astype(jnp.float32) / 255.0)
        return optax.softmax_cross_entropy_with_integer_labels(scores, y).mean()

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Any, state: Any, x: jax.Array, y: jax.Array) -> Any:
        loss, gradient = jax.value_and_grad(loss_of)(params, x, y)
        # Optax mixes integer counts with floats on purpose; our own arithmetic stays strict.
        with jax.numpy_dtype_promotion("standard"):
            change, state = optimiser.update(gradient, state, params)
        return optax.apply_updates(params, change), state, loss

    for batch in batches(images, epochs, np.random.default_rng(seed)):
        assert batch.y is not None
        params, state, loss = step(params, state, batch.x, batch.y.astype(np.int32))
        if progress is not None:
            progress(1, f"loss {float(loss):.3f}")
    return params


def accuracy(params: classifier.Params, images: Images) -> float:
    """The fraction of images of uint8 that are given their class."""
    assert images.y is not None
    logits = jax.jit(classifier.logits)
    right = 0
    for first in range(0, len(images.x), 500):
        some = images.x[first : first + 500].astype(np.float32) / np.float32(255.0)
        guessed = np.asarray(logits(params, some)).argmax(axis=1)
        right += int(np.sum(guessed == images.y[first : first + 500]))
    return right / len(images.x)


def classifier_weights(
    dataset: str,
    images: Images,
    held: Images,
    epochs: int,
    seed: int,
    progress: Progress | None = None,
) -> Weights:
    """A trained classifier, and how it was trained and how often it is right.

    Args:
        dataset: the name of the data set.
        images: of uint8 with labels, to train on.
        held: others, of which the accuracy is.
        seed, progress: see `train_classifier`.
    """
    params = train_classifier(images, epochs, seed, progress)
    about = {
        "what": "classifier",
        "dataset": dataset,
        "accuracy": accuracy(params, held),
        "test_images": len(held.x),
        "training_images": content_of(images.x.reshape(len(images.x), -1)),
        "epochs": epochs,
        "seed": seed,
    }
    return Weights(classifier.to_arrays(params), about)
