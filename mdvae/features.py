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

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags

from mdvae import cli
from mdvae.data.image_sources import load
from mdvae.engine.classifier import DATASETS, classifier_weights, steps_of
from mdvae.engine.progress import Progress
from mdvae.settings.fields import ConfigError, unusable
from mdvae.store.inception_files import convert_inception
from mdvae.store.weight_files import write_weights

SEEDS_END = 2**32


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


def _train(options: Options) -> None:
    """Trains, measures and writes a classifier."""
    images, held = (load(options.train, "", split) for split in ("train", "eval"))
    progress = Progress("classifier", steps_of(images, options.epochs), 0)
    weights = classifier_weights(
        options.train, images, held, options.epochs, options.seed, progress.update
    )
    progress.close()
    write_weights(options.out, weights)
    right = 100 * weights.about["accuracy"]
    print(f"accuracy on {len(held.x):,} test images of {options.train}: {right:.2f} %")
    print(f"weights: {options.out}")


def _convert(options: Options) -> None:
    """Converts and writes the weights of Inception."""
    weights, difference = convert_inception(Path(options.inception), "--inception")
    write_weights(options.out, weights)
    print(f"features by JAX and by PyTorch differ by {difference:.1e} of the largest at most")
    print(f"weights: {options.out}")


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = parse(argv)
    if options is None:
        return 0
    if options.train:
        _train(options)
    else:
        _convert(options)
    return 0


if __name__ == "__main__":
    cli.run_command(main)
