"""Trains the classifier whose features images are compared by, or converts those of the FID.

Usage:
    python -m mdvae.features --train=DATASET --out=FILE.npz [--epochs=N] [--seed=S]
    python -m mdvae.features --inception=FILE --out=FILE.npz

    --train=DATASET   trains on all training images of a data set of grey images of 28 x 28 pixels
                      in ten classes: mnist, fashion_mnist, mnist_sample or fashion_sample
    --inception=FILE  pt_inception-2015-12-05-6726825d.pth, the weights with which PyTorch computes
                      the FID; needs PyTorch (extra `bench`), which what is written does not
    --out=FILE        where the weights go; replaced where it is there
    --epochs=N        of training; default 12
    --seed=S          of the first weights and of the order of images; default 0

Classifiers of mnist and of fashion_mnist come with this package.
"""

if __name__ == "__main__":  # before the imports below, which last for seconds
    from mdvae import interrupts

    interrupts.end_in_one_line()

import functools
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags

from mdvae import cli
from mdvae.data.image_files import Images
from mdvae.data.image_sources import NAMED, load
from mdvae.engine.progress import Progress
from mdvae.networks import classifier
from mdvae.settings.fields import ConfigError, unusable
from mdvae.store.inception_files import convert_inception
from mdvae.store.weight_files import Weights, write_weights

BATCH = 128
# Of Adam, falling to 0 along a cosine.
LEARNING_RATE = 2e-3
# Pixels by which training images are moved at most, up, down and to the sides.
SHIFT = 2
SEEDS_END = 2**32
DATASETS = tuple(
    name
    for name, known in NAMED.items()
    if known.shape == classifier.SHAPE and known.classes == classifier.CLASSES
)


class Options(NamedTuple):
    """The command line, checked; one of `train` and `inception` is ""."""

    train: str
    inception: str
    out: Path
    epochs: int
    seed: int


def parse(argv: Sequence[str]) -> Options | None:
    """Reads the command line; None where only help was asked for.

    Raises:
        ConfigError: one line on what is wrong.
    """
    if cli.asks_for_help(argv, __doc__):
        return None
    values = flags.FlagValues()
    for name in ("train", "inception", "out"):
        flags.DEFINE_string(name, "", "", flag_values=values)
    flags.DEFINE_integer("epochs", 12, "", flag_values=values)
    flags.DEFINE_integer("seed", 0, "", flag_values=values)
    stray = cli.parse_flags(argv, values)
    if stray:
        raise ConfigError(f"{stray[0]}: not a flag; see --help")
    train, inception, out = (
        str(values[name].value or "") for name in ("train", "inception", "out")
    )
    epochs, seed = int(values["epochs"].value or 0), int(values["seed"].value or 0)
    if bool(train) == bool(inception):
        given = "both given" if train else "missing"
        raise ConfigError(f"--train, --inception: {given}; give one of them")
    for name in ("epochs", "seed"):
        if inception and values[name].present:
            raise ConfigError(f"--{name}: has no effect with --inception; leave it out")
    if train and train not in DATASETS:
        raise unusable("--train", train, f"one of {', '.join(DATASETS)}")
    if not out:
        raise ConfigError("--out: missing; give a file for the weights, such as weights.npz")
    if Path(out).suffix != ".npz":
        raise unusable("--out", out, "a .npz file")
    if not Path(out).parent.is_dir():
        raise ConfigError(f"--out: {Path(out).parent} is not a folder; give one that is")
    if epochs < 1:
        raise unusable("--epochs", epochs, "1 or more")
    if not 0 <= seed < SEEDS_END:
        raise unusable("--seed", seed, "0 or more, and below 2^32")
    return Options(train, inception, Path(out), epochs, seed)


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


def train_classifier(images: Images, epochs: int, seed: int) -> classifier.Params:
    """Params of the classifier trained on images of uint8 with labels; shows its progress."""
    steps = epochs * (len(images.x) // BATCH)
    optimiser = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, steps))
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

    progress = Progress("classifier", steps, 0)
    for batch in batches(images, epochs, np.random.default_rng(seed)):
        assert batch.y is not None
        params, state, loss = step(params, state, batch.x, batch.y.astype(np.int32))
        progress.update(1, f"loss {float(loss):.3f}")
    progress.close()
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


def content_of(images: np.ndarray) -> str:
    """A hash of the shape and of the values of images of uint8."""
    digest = hashlib.sha256(f"{images.shape}".encode())
    digest.update(np.ascontiguousarray(images).data)
    return f"sha256:{digest.hexdigest()[:32]}"


def _train(options: Options) -> None:
    """Trains, measures and writes a classifier."""
    images, held = (load(options.train, "", split) for split in ("train", "eval"))
    params = train_classifier(images, options.epochs, options.seed)
    found = accuracy(params, held)
    about = {
        "what": "classifier",
        "dataset": options.train,
        "accuracy": found,
        "test_images": len(held.x),
        "training_images": content_of(images.x),
        "epochs": options.epochs,
        "seed": options.seed,
    }
    write_weights(options.out, Weights(classifier.to_arrays(params), about))
    print(f"accuracy on {len(held.x):,} test images of {options.train}: {100 * found:.2f} %")
    print(f"weights: {options.out}")


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = parse(argv)
    if options is None:
        return 0
    if options.train:
        _train(options)
        return 0
    weights, difference = convert_inception(Path(options.inception), "--inception")
    write_weights(options.out, weights)
    print(f"features by JAX and by PyTorch differ by {difference:.1e} of the largest at most")
    print(f"weights: {options.out}")
    return 0


if __name__ == "__main__":
    cli.run_command(main)
