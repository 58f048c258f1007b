"""Features of images: the classifier, what extractors give, and images that they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from mdvae.data.image_sources import load
from mdvae.networks import classifier, features
from mdvae.networks.features import of_classifier, stretched
from mdvae.settings.fields import ConfigError


@pytest.fixture(scope="module")
def params():
    return jax.jit(classifier.init)(jax.random.key(0))


@pytest.fixture(scope="module")
def extractor(params):
    return of_classifier(params)


@pytest.fixture(scope="module")
def digits():
    return load("mnist_sample", "", "eval").x


def said(call, *args):
    with pytest.raises(ConfigError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def reference(params, x):
    """Features and logits by the compiler's convolutions and products of matrices."""
    for i in range(3):
        layer = params[f"convolution{i}"]
        pad = layer["kernel"].shape[0] // 2
        x = lax.conv_general_dilated(
            x, layer["kernel"], (2, 2), [(pad, pad)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jnp.maximum(x + layer["bias"].reshape(1, 1, 1, -1), 0.0)
    hidden, output = params["hidden"], params["output"]
    h = jnp.maximum(x.reshape(len(x), -1) @ hidden["kernel"] + hidden["bias"][None], 0.0)
    return h, h @ output["kernel"] + output["bias"][None]


def test_classifier_is_what_it_says(params):
    x = np.random.default_rng(0).uniform(size=(3, 28, 28, 1)).astype(np.float32)
    h, scores = jax.jit(reference)(params, x)
    assert h.shape == (3, 64)
    assert scores.shape == (3, 10)

    @jax.jit
    def both(params, x):
        return classifier.features(params, x), classifier.logits(params, x)

    for found, expected in zip(both(params, x), (h, scores), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 89_802


def test_features_are_those_of_the_reference(params, extractor, digits):
    assert extractor[:2] == ("FCD", 64)
    found = extractor.features(digits)
    assert found.shape == (400, 64)
    assert found.dtype == np.float32
    expected = jax.jit(reference)(params, digits.astype(np.float32) / np.float32(255.0))[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_uint8_and_floats_agree(extractor, digits, dtype):
    floats = (digits[:50] / 255.0).astype(dtype)
    atol = 0.05 if dtype == np.float16 else 1e-5
    np.testing.assert_allclose(
        extractor.features(floats), extractor.features(digits[:50]), atol=atol
    )


def test_batches_do_not_matter(extractor, digits, monkeypatch):
    whole = extractor.features(digits)
    monkeypatch.setattr(features, "BATCH", 7)
    np.testing.assert_allclose(extractor.features(digits[:20]), whole[:20], atol=1e-4)
    assert extractor.features(digits[:0]).shape == (0, 64)


def test_one_program_for_any_number_of_images(params, digits, monkeypatch):
    traced = []

    def traced_features(params, x):
        traced.append(x.shape)
        return x[:, 0, 0] + jnp.zeros((1, classifier.WIDTH))

    monkeypatch.setattr(classifier, "features", traced_features)
    extractor = of_classifier(params)
    for n in (1, 3, 400):
        assert extractor.features(digits[:n]).shape == (n, 64)
    assert traced == [(features.BATCH, 28, 28, 1)]


def test_stretched():
    x = np.random.default_rng(0).uniform(0.2, 0.7, (4, 5, 6, 3))
    x[2] = 0.4
    made = stretched(x)
    assert made.dtype == np.float32
    for i in (0, 1, 3):
        expected = (x[i] - x[i].min()) / (x[i].max() - x[i].min())
        np.testing.assert_allclose(made[i], expected, atol=1e-6)
        assert (made[i].min(), made[i].max()) == (0.0, 1.0)
    assert np.all(made[2] == 0.0)
    bytes_ = np.uint8([10, 20, 15, 30]).reshape(1, 2, 2, 1)
    assert stretched(bytes_).ravel().tolist() == [0.0, 0.5, 0.25, 1.0]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (
            np.zeros((5, 28, 28)),
            "images: (5, 28, 28) is not usable; it must be of shape (n, height",
        ),
        (np.zeros((5, 0, 28, 1)), "images: (5, 0, 28, 1) is not usable"),
        (np.zeros((5, 32, 32, 3)), "it must be of shape (n, 28, 28, 1)"),
        (np.zeros((5, 28, 28, 1), int), "images: values of type int64; they must be uint8 or"),
        (np.full((5, 28, 28, 1), 1.5), "images: 1.5 is not usable; it must be in [0, 1]"),
        (np.full((5, 28, 28, 1), -0.5), "images: -0.5 is not usable"),
        (np.full((5, 28, 28, 1), np.nan), "images: nan is not usable"),
    ],
)
def test_images_that_cannot_be_used(extractor, images, words):
    assert words in said(extractor.features, images)
