"""Extractors from files of weights: those that came with the package, and a user's own."""

import jax
import numpy as np
import pytest

from mdvae.analysis.frechet import frechet, frechet_interval, moments
from mdvae.data.image_sources import load
from mdvae.networks import classifier
from mdvae.settings.fields import ConfigError
from mdvae.store.extractors import SHIPPED, WEIGHTS, classifier_extractor, read_classifier

SAMPLES = {"mnist_sample": 0.98, "fashion_sample": 0.85}


@pytest.fixture(scope="module")
def digits():
    return load("mnist_sample", "", "eval").x


def said(call, *args):
    with pytest.raises(ConfigError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("dataset", SAMPLES)
def test_shipped_classifiers_tell_classes_apart(dataset):
    held = load(dataset, "", "eval")
    assert held.y is not None
    params, about = read_classifier(WEIGHTS / SHIPPED[dataset], "classifier")
    found = jax.jit(classifier.logits)(params, held.x.astype(np.float32) / np.float32(255.0))
    right = np.mean(np.asarray(found).argmax(axis=1) == held.y)
    assert right >= SAMPLES[dataset]
    # 400 of the 10,000 images of which the accuracy is stated: within four standard deviations.
    stated = about["accuracy"]
    assert abs(right - stated) < 4.0 * np.sqrt(stated * (1.0 - stated) / 400)


@pytest.mark.parametrize("dataset", ["mnist_sample", "fashion_sample"])
def test_fcd_of_a_data_set_itself_and_of_noise(dataset):
    """0 to itself; noise is an order of magnitude farther than other images of the data."""
    extractor, generator = classifier_extractor(dataset), np.random.default_rng(0)
    images, others = load(dataset, "", "eval").x, load(dataset, "", "train").x[:400]
    real = extractor.features(images)
    itself = frechet_interval(real, extractor.features(images), 10, generator)
    assert itself.value < 1e-6
    assert itself.low <= 0.0 <= itself.high
    apart = frechet(moments(real), moments(extractor.features(others)))
    shuffled = generator.permuted(images.reshape(len(images), -1), axis=1).reshape(images.shape)
    for noise in (shuffled, generator.random(images.shape, dtype=np.float32)):
        assert frechet(moments(real), moments(extractor.features(noise))) > 10.0 * apart > 0.0


def test_shipped_files_are_small_and_described():
    text = (WEIGHTS / "README.md").read_text()
    for name, least in (("mnist", 0.99), ("fashion_mnist", 0.90)):
        path = WEIGHTS / f"classifier_{name}.npz"
        about = read_classifier(path, "classifier")[1]
        assert path.stat().st_size < 500_000
        assert about["dataset"] == name
        assert about["test_images"] == 10_000
        assert about["accuracy"] >= least
        line = next(line for line in text.splitlines() if path.name in line)
        assert f"{100 * about['accuracy']:.2f} %" in line


def test_names_of_data_sets_and_their_classifiers(digits):
    assert classifier_extractor("mnist")[:2] == ("FCD", 64)
    clothes = classifier_extractor("fashion_sample").features(digits[:5])
    np.testing.assert_array_equal(
        clothes, classifier_extractor("fashion_mnist").features(digits[:5])
    )
    assert np.abs(clothes - classifier_extractor("mnist").features(digits[:5])).max() > 0.1


def test_features_are_those_of_the_weights_in_the_file(digits):
    params = read_classifier(WEIGHTS / SHIPPED["mnist"], "classifier")[0]
    expected = jax.jit(classifier.features)(params, digits.astype(np.float32) / np.float32(255.0))
    found = classifier_extractor("mnist_sample").features(digits)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_data_sets_without_a_classifier():
    text = said(classifier_extractor, "cifar10")
    assert text.startswith("data.dataset: 'cifar10' is not usable; it must be one of mnist, ")
    assert "fashion_sample" in text


def test_a_classifier_of_the_users_own(tmp_path, digits):
    assert "does not exist; give a file that" in said(
        classifier_extractor, "", str(tmp_path / "none.npz")
    )
    copy = tmp_path / "own.npz"
    copy.write_bytes((WEIGHTS / SHIPPED["mnist"]).read_bytes())
    np.testing.assert_array_equal(
        classifier_extractor("whatever", str(copy)).features(digits[:3]),
        classifier_extractor("mnist").features(digits[:3]),
    )
