"""Images as a kind of data: what it states, how it is split, and what a config keeps of a file."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from conftest import tiny_dict
from hypothesis import given
from hypothesis import strategies as st

from mdvae.data import image_sources
from mdvae.data.base import DataSizes
from mdvae.data.files import LEAST_ROWS
from mdvae.data.image_files import Images as Read
from mdvae.data.image_sources import NAMED
from mdvae.data.images import DATASETS, Images
from mdvae.data.units import OWN
from mdvae.settings.config import differences, from_json, resolve
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import LEAST_EVALUATED, Part, Sizes, make_cells
from mdvae.settings.registry import DATA

KIND = DATA.find("images")
ROWS, SHAPE, CLASSES = 150, (5, 4, 3), 3
X = np.random.default_rng(0).integers(0, 256, (ROWS, *SHAPE)).astype(np.uint8)
Y = np.arange(ROWS) % CLASSES


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "x.npz"
    np.savez(file, images=X, labels=Y)
    return file


def settings_of(dataset="mnist_sample", **fields):
    return Images(kind="images", dataset=dataset, **fields).completed()


def own(path, **fields):
    return settings_of("file", path=str(path), **fields)


def made(settings, split, n=10**6, part=None, seed=0):
    return KIND.make((settings, None), KIND.table(settings, seed), n, split, part)


def config_of(grid=None, **fields):
    config = tiny_dict(grid or {"kappa": (3,)}, data="images", **{"n_eval": 20, **fields})
    return resolve(config)


def named(field):
    return f"data.{field}"


def padded(settings, told=True):
    width = KIND.sizes(settings, told)
    return Sizes(3, width.d, width.c, width.r, width.shape)


@pytest.mark.parametrize("dataset", ["mnist_sample", "fashion_sample"])
@pytest.mark.parametrize("split", ["train", "eval"])
def test_what_is_made_is_what_is_stated(dataset, split):
    settings = settings_of(dataset)
    batch = made(settings, split)
    n = KIND.samples(settings)[split == "eval"]
    assert n == (1600 if split == "train" else 400)
    shapes, dtypes = KIND.shapes(padded(settings)), KIND.dtypes(settings)
    assert set(batch) == set(shapes) == {"x", "c"}
    for name, x in batch.items():
        assert x.shape == (n, *shapes[name])
        assert x.dtype == dtypes[name] == np.uint8
    np.testing.assert_array_equal(batch["c"].sum(axis=0), n // 10)
    np.testing.assert_array_equal(batch["c"].sum(axis=1), 1)
    assert (KIND.sample_axis, KIND.order, KIND.traced) == (0, "epoch", False)
    # Bytes stay bytes on their way to the device.
    assert KIND.units(settings) is OWN


def test_sizes_of_named_data_sets_need_no_files():
    """A condition is what labels there are, where the networks are told."""
    for dataset in NAMED:
        known = NAMED[dataset]
        settings = settings_of(dataset, dir="/nowhere")
        told, untold = (KIND.sizes(settings, told) for told in (True, False))
        assert told == DataSizes(np.prod(known.shape), known.classes, 0, known.shape)
        assert untold == told._replace(c=0)
        assert KIND.samples(settings) == (known.n_train, known.n_eval)
        assert KIND.parts(settings) == (Part(),)
        KIND.check(settings, named)
    assert KIND.shapes(padded(settings_of("celeba"))) == {"x": (64, 64, 3)}


def test_networks_see_floats_between_0_and_1():
    batch = made(settings_of(), "train", 64)
    seen = jax.jit(KIND.seen)(batch)
    plain = KIND.seen(batch)
    for name in ("x", "c"):
        assert seen[name].dtype == plain[name].dtype == np.float32
        np.testing.assert_allclose(seen[name], plain[name], rtol=1e-6)
    exact = batch["x"] / 255
    np.testing.assert_allclose(plain["x"], exact, rtol=1e-7)
    assert (plain["x"].min(), plain["x"].max()) == (0, 1)
    np.testing.assert_array_equal(plain["c"], batch["c"])
    again = KIND.seen(plain)
    np.testing.assert_array_equal(again["x"], plain["x"])
    assert set(KIND.seen({"x": batch["x"]})) == {"x"}


def test_shifted_pixels_are_for_evaluation_alone(path):
    for unit in (settings_of(), own(path)):
        shifted = dataclasses.replace(unit, pixels="shifted")
        np.testing.assert_array_equal(made(shifted, "train")["x"], made(unit, "train")["x"])
        seen, plain = (KIND.seen(made(each, "eval"))["x"] for each in (shifted, unit))
        assert seen.dtype == np.float32
        np.testing.assert_array_equal(seen, np.float32(0.001) + np.float32(0.998) * plain)
        np.testing.assert_allclose(seen, 0.001 + 0.998 * plain.astype(float), rtol=1e-6)


def test_the_first_images(path):
    whole = settings_of()
    few = settings_of(n_train=300, n_eval=100)
    assert KIND.samples(few) == (300, 100)
    for split, n in (("train", 300), ("eval", 100)):
        for name, x in made(few, split, n).items():
            np.testing.assert_array_equal(x, made(whole, split)[name][:n])
    assert len(made(few, "eval")["x"]) == 100
    assert len(made(few, "eval", 7)["x"]) == 7
    assert KIND.samples(own(path, n_train=40, n_eval=30)) == (40, 30)


@pytest.mark.parametrize("n_eval", [0, 300])
def test_classes_are_parts_of_the_test_set(n_eval):
    settings = settings_of(n_eval=n_eval, by_class=True)
    assert KIND.part_name == "class"
    assert KIND.parts(settings) == tuple(Part(value=k) for k in range(10))
    mixed = made(settings_of(), "eval")
    parts = [made(settings, "eval", part=k) for k in range(10)]
    for k, part in enumerate(parts):
        np.testing.assert_array_equal(part["c"].argmax(axis=1), k)
        rows = mixed["c"].argmax(axis=1) == k
        # As many of each, the first of all there are.
        assert len(part["x"]) == 0.8 * (n_eval or 400) / 10
        np.testing.assert_array_equal(part["x"], mixed["x"][rows][: len(part["x"])])


@pytest.mark.parametrize(("split", "part"), [("train", None), ("eval", 0)])
def test_classes_of_a_few_images_are_refused_before_training_too(path, split, part):
    few = (
        (settings_of(n_eval=50, by_class=True), "50 leaves 4 images of class 0 of 'mnist_sample'"),
        (own(path, n_eval=45, by_class=True), "45 leaves 15 images of class 0 of 'file'"),
    )
    for settings, what in few:
        with pytest.raises(ConfigError) as caught:
            made(settings, split, part=part)
        assert str(caught.value) == f"data.n_eval: {what}; it must leave 20 or more of each"


def test_cells_of_one_program_may_have_different_data_sets():
    """What is made follows the table; seeds share it."""
    law = settings_of("fashion_sample")
    for dataset in ("mnist_sample", "fashion_sample"):
        settings = settings_of(dataset)
        table = KIND.table(settings, 0)
        assert table == KIND.table(settings, 7)
        x = KIND.make((law, None), table, 50, "train", None)["x"]
        np.testing.assert_array_equal(x, made(settings, "train", 50)["x"])
    assert KIND.table(settings_of("mnist_sample"), 0) != KIND.table(law, 0)


def test_images_without_labels_have_no_condition(monkeypatch):
    read = Read(np.zeros((30, 64, 64, 3), np.uint8), None)
    monkeypatch.setattr("mdvae.data.images.load", lambda dataset, directory, split: read)
    assert set(made(settings_of("celeba", dir="/somewhere"), "train")) == {"x"}


def test_the_split_of_a_file_is_fixed_and_loses_no_image(path):
    settings = own(path, n_eval=0.2)
    assert KIND.samples(settings) == KIND.samples(own(path)) == (120, 30)
    train, held = made(settings, "train"), made(settings, "eval")
    assert (train["x"].shape, held["x"].shape) == ((120, *SHAPE), (30, *SHAPE))
    both = np.concatenate([train["x"], held["x"]])
    labels = np.concatenate([train["c"], held["c"]]).argmax(axis=1)
    places = [int(np.flatnonzero((x == X).all(axis=(1, 2, 3)))[0]) for x in both]
    assert sorted(places) == list(range(ROWS)) != places
    np.testing.assert_array_equal(labels, Y[places])
    np.testing.assert_array_equal(made(settings, "eval", seed=7)["x"], held["x"])
    more = made(own(path, n_eval=40), "eval")
    np.testing.assert_array_equal(more["x"][:30], held["x"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_of_a_file_are_seen_as_they_are(tmp_path, dtype):
    x = (X[..., 0] / 255).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    settings = own(tmp_path / "x.npy")
    assert (settings.colours, settings.classes, settings.pixel_type) == (1, 0, "float32")
    batch = made(settings, "train")
    assert set(batch) == {"x"}
    assert batch["x"].dtype == KIND.dtypes(settings)["x"] == np.float32
    np.testing.assert_array_equal(KIND.seen(batch)["x"], batch["x"])
    assert np.isin(batch["x"], x.astype(np.float32)).all()
    assert KIND.sizes(settings, True) == DataSizes(20, 0, 0, (5, 4, 1))


@given(
    st.one_of(st.just(0), st.floats(0.001, 0.999), st.integers(1, 300)),
    st.integers(LEAST_ROWS, 100_000),
)
def test_enough_images_are_held_out_and_left(n_eval, rows):
    settings = Images(
        kind="images", dataset="file", rows=rows, content="sha256:0", n_eval=float(n_eval)
    )
    n_train, held = KIND.samples(settings)
    assert n_train + held == rows
    if n_eval >= 1:
        assert held == n_eval
    else:
        assert abs(held - max(LEAST_EVALUATED, (n_eval or 0.2) * rows)) <= 0.5
    enough = held >= LEAST_EVALUATED and n_train >= LEAST_ROWS - LEAST_EVALUATED
    try:
        KIND.check(settings, named)
    except ConfigError as error:
        assert "\n" not in str(error)
        assert not enough
    else:
        assert enough


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"dataset": "svhn"},
            "data.dataset: 'svhn' is not usable; it must be one of " + ", ".join(DATASETS),
        ),
        (
            {"n_train": 1601},
            "data.n_train: 1601 is more than the 1600 training images of 'mnist_sample'; it must be"
            " 1600 or less, or 0 for all",
        ),
        (
            {"n_eval": 401},
            "data.n_eval: 401 is more than the 400 test images of 'mnist_sample'; it must be 400 or"
            " less, or 0 for all",
        ),
        (
            {"n_eval": 0.5},
            "data.n_eval: 0.5 is not usable with the test set of 'mnist_sample'; it must be 20"
            " images or more, or 0 for all",
        ),
        (
            {"n_eval": 20.5},
            "data.n_eval: 20.5 is not usable; it must be 0 for all of a test set or a fifth of a"
            " file, a number of images, or a fraction of a file",
        ),
        (
            {"n_eval": 19},
            "data.n_eval: 19 is not usable with the test set of 'mnist_sample'; it must be 20"
            " images or more, or 0 for all",
        ),
        (
            {"dataset": "celeba", "by_class": True},
            "data.by_class: 'celeba' has no labels; it must be False",
        ),
        (
            {"dataset": "celeba", "model": "cvae"},
            "method.model: 'cvae' has no effect: these data have no condition; it must be 'vae'",
        ),
        (
            {"pixels": "grey"},
            "data.pixels: 'grey' is not usable; it must be one of unit, shifted",
        ),
        ({"dataset": "file"}, "data.path: missing; give a .npy or .npz file"),
        (
            {"data.path": "x.npy"},
            "data.path: 'x.npy' has no effect with data.dataset 'mnist_sample'; leave it out, or"
            " set data.dataset to 'file'",
        ),
        ({"data.height": 28}, "data.height: is found in the file; leave it out"),
        (
            {"grid": {"kappa": (3,), "dataset": ("mnist_sample", "file")}},
            "grid.dataset: 'file' is no value of an axis beside others; leave it out, or set"
            " data.dataset to 'file'",
        ),
        (
            {"grid": {"kappa": (3,), "n_eval": (20, 30)}},
            "grid.n_eval: is one for the whole sweep and no axis; set data.n_eval",
        ),
    ],
)
def test_mistakes_are_one_line(fields, message):
    with pytest.raises(ConfigError) as caught:
        make_cells(config_of(**fields))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"n_eval": 5},
            "data.n_eval: 5 holds out 5 of 150 images and leaves 145; it must hold out 20 or more"
            " and leave 80 or more",
        ),
        (
            {"n_eval": 0.9},
            "data.n_eval: 0.9 holds out 135 of 150 images and leaves 15; it must hold out 20 or"
            " more and leave 80 or more",
        ),
        (
            {"n_train": 121},
            "data.n_train: 121 is more than the 120 training images of 'file'; it must be 120 or"
            " less, or 0 for all",
        ),
    ],
)
def test_mistakes_with_a_file_are_one_line(path, fields, message):
    with pytest.raises(ConfigError) as caught:
        KIND.check(own(path, **fields), named)
    assert str(caught.value) == message


def test_a_file_without_labels_has_no_classes(tmp_path):
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(
        ConfigError, match=r"^data.by_class: 'file' has no labels; it must be False$"
    ):
        KIND.check(own(tmp_path / "x.npy", by_class=True), named)


def test_a_config_keeps_what_was_found_and_needs_the_file_no_more(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    config = config_of(dataset="file", n_train=0, **{"data.path": "x.npz", "data.dir": "there"})
    assert config.data.path == str(path)  # wherever a later command is called from
    assert config.data.dir == str(path.parent / "there")
    assert config.data.completed() is config.data
    text = json.dumps(config.to_json())
    path.unlink()
    again = from_json(json.loads(text))
    assert again == config
    assert KIND.sizes(again.data, True) == DataSizes(60, CLASSES, 0, SHAPE)
    with pytest.raises(ConfigError, match="does not exist"):
        made(again.data, "train")


def test_named_data_sets_leave_nothing_to_find():
    config = config_of(dataset="mnist", **{"data.dir": "/nowhere"})
    assert config.data.completed() == config.data
    assert from_json(json.loads(json.dumps(config.to_json()))) == config
    elsewhere = config_of(dataset="mnist", **{"data.dir": "/elsewhere"})
    assert differences(config, elsewhere) == []
    other = config_of(dataset="fashion_mnist")
    assert differences(config, other) == ["data.dataset: 'mnist' -> 'fashion_mnist'"]


def test_other_images_are_another_config_and_another_place_is_not(path, tmp_path):
    fields = {"dataset": "file", "n_train": 0}
    before = config_of(**fields, **{"data.path": str(path)})
    moved = tmp_path / "moved.npz"
    np.savez_compressed(moved, x=np.asfortranarray(X), y=Y[:, None].astype(np.uint8))
    assert differences(before, config_of(**fields, **{"data.path": str(moved)})) == []
    changed = X.copy()
    changed[70, 1, 2, 0] ^= 1
    for arrays in (
        {"images": changed, "labels": Y},
        {"images": X, "labels": Y[::-1]},
        {"images": X},
        {"images": (X / 255).astype(np.float32), "labels": Y},
    ):
        np.savez(path, **arrays)
        line = differences(before, config_of(**fields, **{"data.path": str(path)}))[0]
        assert line.startswith("data.content: 'sha256:")
        with pytest.raises(ConfigError) as caught:
            made(before.data, "eval")
        assert str(caught.value) == (
            f"data.path: the images in {path} are not those that this run was begun with; restore"
            " them, or begin another run"
        )


def test_a_file_may_stand_beside_named_data_sets_that_need_none(path):
    """Where the config itself has the file, an axis may name it with others."""
    config = config_of(dataset="file", n_train=0, **{"data.path": str(path)})
    other = dataclasses.replace(config.data, dataset="fashion_sample")
    KIND.check(other, named)
    assert KIND.samples(other) == (1600, 20)
    assert KIND.sizes(other, True).shape == (28, 28, 1)
    assert KIND.table(other, 0) == KIND.table(settings_of("fashion_sample"), 0)
    assert KIND.dtypes(other)["x"] == np.uint8


def test_missing_files_are_one_line(tmp_path, monkeypatch):
    image_sources._load_file.cache_clear()
    monkeypatch.setenv("MDVAE_DATA", str(tmp_path))
    with pytest.raises(ConfigError, match=r"^data.dataset: 'cifar10' was not found as cifar10.npz"):
        made(settings_of("cifar10", dir=str(tmp_path)), "train")
