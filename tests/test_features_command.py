"""The command of features: a small real training, and flags that it refuses."""

import sys

import jax
import numpy as np
import pytest

from mdvae import cli, features
from mdvae.data import image_sources
from mdvae.data.files import content_of
from mdvae.data.image_files import Images
from mdvae.engine import classifier as training
from mdvae.networks import classifier
from mdvae.networks.convolutions import by_compiler
from mdvae.settings.fields import ConfigError
from mdvae.store.extractors import classifier_extractor, read_classifier
from mdvae.store.weight_files import Weights


@pytest.fixture
def few(monkeypatch):
    """The first images of the sample of MNIST, in batches of 16."""
    whole = {split: image_sources.load("mnist_sample", "", split) for split in ("train", "eval")}

    def load(dataset, directory, split):
        assert (dataset, directory) == ("mnist_sample", "")
        x, y = whole[split]
        n = 40 if split == "train" else 20
        return Images(x[::9][:n], y[::9][:n])

    monkeypatch.setattr(features, "load", load)
    monkeypatch.setattr(training, "BATCH", 16)
    return load


def test_a_small_training(few, tmp_path, capsys):
    out = tmp_path / "w.npz"
    command = ["features", "--train=mnist_sample", f"--out={out}", "--epochs=2", "--seed=3"]
    with by_compiler():  # whose convolutions are compiled in half the time
        assert features.main(command) == 0
    said = capsys.readouterr().out
    params, about = read_classifier(out, "--out")
    held = few("mnist_sample", "", "eval")
    scores = jax.jit(classifier.logits)(params, held.x.astype(np.float32) / np.float32(255.0))
    right = np.mean(np.asarray(scores).argmax(axis=1) == held.y)
    assert about == {
        "what": "classifier",
        "dataset": "mnist_sample",
        "accuracy": right,
        "test_images": 20,
        "training_images": content_of(few("mnist_sample", "", "train").x.reshape(40, -1)),
        "epochs": 2,
        "seed": 3,
    }
    assert f"accuracy on 20 test images of mnist_sample: {100 * right:.2f} %" in said
    assert f"weights: {out}" in said
    assert "step 4/4" in said
    assert classifier_extractor("", str(out)).features(held.x).shape == (20, 64)


def test_conversion_writes_what_it_is_given(tmp_path, monkeypatch, capsys):
    weights = Weights({"a": np.zeros(2, np.float32)}, {"what": "inception"})
    monkeypatch.setattr(features, "convert_inception", lambda path, field: (weights, 2e-6))
    out = tmp_path / "w.npz"
    assert features.main(["features", "--inception=some.pth", f"--out={out}"]) == 0
    assert "differ by 2.0e-06 of the largest" in capsys.readouterr().out
    with np.load(out, allow_pickle=False) as file:
        assert set(file.files) == {"a", "about"}


OUT = "--out=w.npz"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([OUT], "--train, --inception: missing; give one of them"),
        (["--train=mnist", "--inception=f", OUT], "--train, --inception: both given; give one"),
        (["--train=cifar10", OUT], "--train: 'cifar10' is not usable; it must be one of mnist_sam"),
        (["--train=mnist"], "--out: missing; give a file"),
        (["--train=mnist", "--out=w.npy"], "--out: 'w.npy' is not usable; it must be a .npz file"),
        (["--train=mnist", "--out=none/w.npz"], "--out: none is not a folder; give one that is"),
        (["--train=mnist", OUT, "--epochs=0"], "--epochs: 0 is not usable; it must be 1 or more"),
        (["--train=mnist", OUT, "--epochs=x"], "--epochs: 'x' is not usable; it must be a whole"),
        (["--train=mnist", OUT, "--seed=-1"], "--seed: -1 is not usable; it must be 0 or more"),
        (["--inception=f", OUT, "--epochs=3"], "--epochs: has no effect with --inception; leave"),
        (["--inception=f", OUT], "--inception: f does not exist; give pt_inception-2015-12-05-"),
        (["--train=mnist", OUT, "--width=3"], "--width: no such flag; see --help"),
        (["mnist"], "mnist: not a flag; see --help"),
    ],
)
def test_flags_that_are_refused(args, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        features.main(["features", *args])
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_mistakes_end_in_one_line_and_exit_code_2(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["features", "--train=mnist"])
    with pytest.raises(SystemExit) as caught:
        cli.run_command(features.main)
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --out: missing")
    assert said.count("\n") == 1


def test_help(capsys):
    assert features.main(["features", "--help"]) == 0
    assert "--inception=FILE" in capsys.readouterr().out
