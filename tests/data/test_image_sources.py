"""Named sets of images: where they are looked for, in what order, and what is said without them."""

import gzip
import struct
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from mdvae.data import image_sources
from mdvae.data.image_sources import NAMED, SAMPLES, cache_dir, crop_face, load
from mdvae.settings.fields import ConfigError

N = 6
KNOWN = dict(NAMED)  # as it is outside these tests
SHAPES = {"mnist": (28, 28, 1), "fashion_mnist": (28, 28, 1), "cifar10": (32, 32, 3)}


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """Small data sets, and none but those of a test."""
    monkeypatch.setenv("MDVAE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setattr(image_sources, "SYSTEM", dict.fromkeys(image_sources.SYSTEM, ()))
    for name in (*SHAPES, "celeba"):
        known = NAMED[name]._replace(n_train=N, n_eval=N)
        monkeypatch.setitem(NAMED, name, known)
    image_sources._load_file.cache_clear()
    image_sources._load_prepared.cache_clear()
    yield
    image_sources._load_prepared.cache_clear()


def images(shape=(28, 28, 1), seed=0):
    x = np.random.default_rng(seed).integers(0, 256, (N, *shape)).astype(np.uint8)
    return x, (np.arange(N) % 10).astype(np.uint8)


def put_idx(folder, x, y, side="train"):
    folder.mkdir(parents=True, exist_ok=True)
    for what, array, axes in (("images", x[..., 0], 3), ("labels", y, 1)):
        head = bytes((0, 0, 8, axes)) + struct.pack(f">{axes}I", *array.shape)
        path = folder / f"{side}-{what}-idx{axes}-ubyte.gz"
        path.write_bytes(gzip.compress(head + array.tobytes()))


def put_npz(folder, dataset, x, y=None):
    folder.mkdir(parents=True, exist_ok=True)
    labels = {} if y is None else {"y_train": y, "y_test": y}
    np.savez(folder / f"{dataset}.npz", x_train=x, x_test=x[::-1], **labels)


def said(*args):
    with pytest.raises(ConfigError) as caught:
        load(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("sample", ["mnist_sample", "fashion_sample"])
def test_embedded_samples(sample):
    train, held = load(sample, "", "train"), load(sample, "", "eval")
    assert (train.x.shape, held.x.shape) == ((1600, 28, 28, 1), (400, 28, 28, 1))
    assert np.bincount(train.y).tolist() == [160] * 10
    assert np.bincount(held.y).tolist() == [40] * 10
    both = np.concatenate([train.x, held.x]).reshape(2000, -1)
    assert len(np.unique(both, axis=0)) == 2000
    assert (both.min(), both.max()) == (0, 255)
    assert (SAMPLES / f"{sample}.npz").stat().st_size < 800_000
    # Pixels of a class are closer to its own mean image than to others, far more often than not.
    means = np.stack([train.x[train.y == k].mean(axis=0).ravel() for k in range(10)])
    nearest = ((held.x.reshape(400, 1, -1) - means) ** 2).sum(axis=-1).argmin(axis=1)
    assert np.mean(nearest == held.y) > 0.6


def test_origin_and_licences_lie_beside_the_samples():
    text = (SAMPLES / "README.md").read_text()
    for words in ("CC BY-SA 3.0", "LeCun", "Cortes", "Burges", "MIT", "Zalando", "1,600", "400"):
        assert words in text


def test_what_is_loaded_is_shared_and_cannot_be_written_to(tmp_path):
    x, y = images()
    put_idx(tmp_path / "data" / "mnist", x, y)
    found = load("mnist", "", "train")
    assert load("mnist", "", "train") is found
    with pytest.raises(ValueError, match="read-only"):
        found.x[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        found.y[0] = 0


def test_files_are_looked_for_in_order(tmp_path, monkeypatch):
    system, cache, own = tmp_path / "system", tmp_path / "data", tmp_path / "own"
    monkeypatch.setattr(image_sources, "SYSTEM", {"mnist": (str(system),)})
    places = [(system, "idx"), (cache / "mnist", "npz"), (cache / "mnist", "idx")]
    for seed, (folder, form) in enumerate(places):
        x, y = images(seed=seed)
        put_idx(folder, x, y) if form == "idx" else put_npz(folder, "mnist", x, y)
        np.testing.assert_array_equal(load("mnist", "", "train").x, x)
    # A folder that is named is the only one.
    for seed, folder in ((7, own), (8, own / "mnist")):
        x, y = images(seed=seed)
        put_npz(folder, "mnist", x, y)
        np.testing.assert_array_equal(load("mnist", str(own), "train").x, x)
        np.testing.assert_array_equal(load("mnist", str(own), "eval").x, x[::-1])


def test_the_cache_has_the_usual_places(tmp_path, monkeypatch):
    assert cache_dir() == tmp_path / "data"
    monkeypatch.delenv("MDVAE_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_dir() == tmp_path / "cache" / "mdvae"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "mdvae"


NEEDS_NONE = "--config.data.dataset=mnist_sample needs no files"


def test_what_is_not_found(tmp_path, monkeypatch):
    data = tmp_path / "data"
    assert said("mnist", "", "train") == (
        f"data.dataset: 'mnist' was not found as IDX files or mnist.npz in {data}/mnist, nor by"
        f" tensorflow-datasets; launch/get_data.sh gets it, and {NEEDS_NONE}"
    )
    assert said("celeba", "/nowhere", "eval") == (
        "data.dataset: 'celeba' was not found as celeba.npz in /nowhere/celeba or /nowhere;"
        " tensorflow_datasets.data_source('celeb_a') downloads and prepares it, and"
        f" {NEEDS_NONE}"
    )
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert f"in {data}/cifar10, nor by tensorflow-datasets (extra 'data'); " in said(
        "cifar10", "", "train"
    )


def test_files_of_the_other_data_set(tmp_path):
    """Both have files of the same names, sizes and labels."""
    sample = load("mnist_sample", "", "train")
    assert image_sources.FIRST_IMAGES[image_sources.zlib.crc32(sample.x[0].tobytes())] == "mnist"
    put_idx(tmp_path / "here", sample.x[:N], sample.y[:N].astype(np.uint8))
    assert len(load("mnist", str(tmp_path / "here"), "train").x) == N
    path = tmp_path / "here" / "train-images-idx3-ubyte.gz"
    assert said("fashion_mnist", str(tmp_path / "here"), "train") == (
        f"data.dir: {path} holds the images of mnist; it must hold fashion_mnist"
    )


@pytest.mark.parametrize("dataset", SHAPES)
@pytest.mark.parametrize("split", ["train", "eval"])
def test_tensorflow_datasets_without_tensorflow(dataset, split):
    with tfds.testing.mock_data(num_examples=N):
        found = load(dataset, "", split)
        again = load(dataset, "", split)
    assert found.x.shape == (N, *SHAPES[dataset])
    assert found.x.dtype == np.uint8
    assert found.y.shape == (N,)
    assert set(found.y) <= set(range(10))
    assert again is found  # decoded once
    assert "tensorflow" not in sys.modules


@pytest.mark.parametrize("split", ["train", "eval"])
def test_faces_of_tensorflow_datasets(split):
    with tfds.testing.mock_data(num_examples=N):
        found = load("celeba", "", split)
    assert (found.x.shape, found.x.dtype, found.y) == ((N, 64, 64, 3), np.uint8, None)


def test_faces_are_cropped_and_scaled_with_antialiasing():
    rows, columns = np.mgrid[0:218, 0:178]
    image = np.stack([rows, columns, 255 * ((rows + columns) % 2)], axis=-1).astype(np.uint8)
    face = crop_face(image, (64, 64, 3)).astype(float)
    inner = slice(2, -2)
    # Row i of 64 is about the middle of rows 45 + 2 i and the next one.
    expected = 45 + 2 * np.arange(64)[inner] + 0.5
    np.testing.assert_allclose(face[inner, 5, 0], expected, atol=0.51)
    np.testing.assert_allclose(face[5, inner, 1], expected - 20, atol=0.51)
    np.testing.assert_allclose(face[inner, inner, 2], 127.5, atol=2)


def test_examples_with_a_number_have_their_first_order():
    order = [3, 0, 5, 1, 4, 2]
    x, _ = images((32, 32, 3))
    source = [{"image": x[i], "label": i, "id": f"train_{i:05}"} for i in order]
    found = image_sources._load_source("cifar10", "train", source)
    np.testing.assert_array_equal(found.x, x)
    np.testing.assert_array_equal(found.y, range(N))


def test_another_number_of_examples_is_refused():
    with tfds.testing.mock_data(num_examples=N - 1):
        assert said("mnist", "", "eval") == (
            f"data.dataset: tensorflow-datasets has {N - 1} images of the eval side of 'mnist'; it"
            f" must have {N}"
        )


def test_prepared_data_that_cannot_be_read(monkeypatch):
    monkeypatch.setattr(tfds.core.DatasetBuilder, "is_prepared", lambda self: True)
    message = said("mnist", "", "train")
    assert message.startswith("data.dataset: 'mnist' cannot be read from tensorflow-datasets (")
    assert message.endswith("prepare it again with tensorflow_datasets.data_source('mnist')")


def test_known_sizes():
    """As published; a wrong one would refuse the right files."""
    published = {
        "mnist": (60_000, 10_000, (28, 28, 1), 10),
        "fashion_mnist": (60_000, 10_000, (28, 28, 1), 10),
        "cifar10": (50_000, 10_000, (32, 32, 3), 10),
        "celeba": (162_770, 19_962, (64, 64, 3), 0),
    }
    assert {name: known[:4] for name, known in KNOWN.items() if known.tfds} == published
