"""Sprites: what is drawn, what is told of it, and the file that may be read instead."""

import numpy as np
import pytest
from conftest import tiny_dict

from mdvae.data import dsprites, sprites
from mdvae.data.dsprites import COUNT, DSprites, all_images
from mdvae.data.sprites import FACTORS, SIDE, draw
from mdvae.settings.config import resolve
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import Sizes, make_cells
from mdvae.settings.registry import DATA

KIND = DATA.find("dsprites")
FEW = (3, 2, 5, 4, 4)
SIZES = Sizes(3, SIDE * SIDE, 5, 0, (SIDE, SIDE, 1))


def made(split="train", n=10_000, **fields):
    settings = DSprites(kind="dsprites", **{"places": FEW, **fields})
    return KIND.make((settings, SIZES), KIND.table(settings, 0), n, split, None)


def middle(image):
    return np.argwhere(image).mean(axis=0)


def test_sprites_are_black_and_white_and_whole():
    corners = np.array(
        [(k, 5, a, x, y) for k in range(3) for a in (0, 5) for x in (0, 31) for y in (0, 31)]
    )
    images = draw(corners)
    assert images.dtype == np.uint8
    assert set(np.unique(images)) == {0, 1}
    # A whole sprite has the same pixels wherever it is.
    for k in range(0, len(images), 4):
        assert len({int(image.sum()) for image in images[k : k + 4]}) == 1
    borders = sprites.stamps()
    assert not borders[..., (0, -1), :].any()
    assert not borders[..., (0, -1)].any()


def test_each_factor_does_what_it_says():
    base = np.array([2, 3, 4, 10, 20])

    def moved(place, by):
        changed = base.copy()
        changed[place] += by
        return draw(changed[None])[0]

    image = draw(base[None])[0]
    # Rows go down with y, columns right with x, a pixel a place or nearly.
    np.testing.assert_allclose(middle(moved(3, 8)) - middle(image), (0, 8), atol=1)
    np.testing.assert_allclose(middle(moved(4, 8)) - middle(image), (8, 0), atol=1)
    assert moved(1, 2).sum() / image.sum() == pytest.approx((1.0 / 0.8) ** 2, rel=0.06)
    turned = moved(2, 10)
    assert not np.array_equal(turned, image)
    assert turned.sum() == pytest.approx(image.sum(), rel=0.05)
    square, ellipse = (draw(np.array([[k, 3, 4, 10, 20]]))[0] for k in (0, 1))
    assert len({square.sum(), ellipse.sum(), image.sum()}) == 3
    # The last angle is the first, as once around is all of them.
    first, last = (draw(np.array([[2, 3, a, 10, 20]]))[0] for a in (0, 39))
    np.testing.assert_array_equal(first, last)


def test_u_is_the_place_of_each_factor_from_0_to_1():
    images, factors = all_images("", FEW)
    assert len(images) == len(np.unique(factors, axis=0)) == np.prod(FEW)
    train, held = made(), made("eval")
    c = np.concatenate([train["c"], held["c"]])
    assert len(c) == len(images)
    assert held["x"].shape == (round(0.1 * len(images)), SIDE, SIDE, 1)
    np.testing.assert_array_equal(c.min(axis=0), 0.0)
    np.testing.assert_array_equal(c.max(axis=0), 1.0)
    # Together they are all images, once each, with their own u.
    assert len(np.unique(c, axis=0)) == len(images)
    index = np.rint(held["c"] * factors.max(axis=0)).astype(int)
    np.testing.assert_array_equal(held["x"][..., 0], draw(index))


def test_a_factor_of_one_place_is_0():
    found = made(places=(1, 2, 5, 4, 4))
    assert not np.any(found["c"][:, 0])
    assert np.isfinite(found["c"]).all()


def test_smaller_images_are_every_second_row_and_column():
    whole, half = made("eval"), made("eval", side=32)
    np.testing.assert_array_equal(half["x"], whole["x"][:, ::2, ::2])
    np.testing.assert_array_equal(half["c"], whole["c"])
    settings = DSprites(side=32)
    assert KIND.sizes(settings, True).shape == (32, 32, 1)
    assert KIND.sizes(settings, False)[:2] == (1024, 0)


def test_as_many_images_as_are_asked_for():
    assert len(made(n_train=100, n_eval=60)["x"]) == 100
    assert len(made("eval", n_train=100, n_eval=60)["x"]) == 60
    fewer = made("eval", n_train=100, n_eval=60, n=7)
    np.testing.assert_array_equal(fewer["x"], made("eval", n_train=100, n_eval=60)["x"][:7])


@pytest.fixture
def few_sprites(monkeypatch):
    """All of dSprites, so to say, in a file that is small."""
    monkeypatch.setattr(dsprites, "FACTORS", FEW)
    monkeypatch.setattr(dsprites, "COUNT", int(np.prod(FEW)))
    all_images.cache_clear()
    yield np.stack([grid.ravel() for grid in np.indices(FEW)], axis=1)
    all_images.cache_clear()


def write(path, images, factors, **more):
    classes = np.concatenate([np.zeros((len(factors), 1), np.int64), factors], axis=1)
    np.savez_compressed(path, imgs=images, latents_classes=classes, **more)


def test_the_file_of_dsprites_is_read_instead(tmp_path, few_sprites):
    images = draw(few_sprites)[:, ::-1].copy()
    # As in the file, beside something that only a pickle can hold, and that is never read.
    write(tmp_path / "d.npz", images, few_sprites, metadata=np.array({"a": 1}, dtype=object))
    settings = DSprites(path=str(tmp_path / "d.npz"), places=FEW).completed()
    found, factors = all_images(settings.path, FEW)
    np.testing.assert_array_equal(found[..., 0], images)
    some, of_some = all_images(settings.path, (3, 1, 2, 4, 2))
    np.testing.assert_array_equal(np.unique(of_some[:, 2]), [0, 2])
    rows = np.ravel_multi_index(tuple(of_some.T), FEW)
    np.testing.assert_array_equal(some[..., 0], images[rows])
    np.testing.assert_array_equal(factors, few_sprites)


def test_a_config_is_read_without_the_file_and_refuses_another(tmp_path, few_sprites):
    path = tmp_path / "d.npz"
    images = draw(few_sprites)
    write(path, images, few_sprites)
    settings = DSprites(path=str(path), places=FEW).completed()
    write(path, images[:, ::-1], few_sprites)
    with pytest.raises(ConfigError, match="is not the file that it was"):
        all_images(settings.path, FEW, SIDE, settings.content)
    path.unlink()
    assert settings.completed() is settings
    with pytest.raises(ConfigError, match="cannot be read"):
        all_images(settings.path, FEW, SIDE, settings.content)
    with pytest.raises(ConfigError, match=r"data\.content: is found in the file"):
        DSprites(content="a").completed()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", "cannot be read (No such file or directory)"),
        ("text", "has no arrays imgs and latents_classes"),
        ("names", "has no arrays imgs and latents_classes"),
        ("images", "has images of shape (480, 64, 63) and type uint8"),
        ("factors", "has factors of shape (480, 5) and type int64"),
        ("order", "has its factors in another order"),
        ("pixels", "has pixels of 255, not 0 and 1"),
    ],
)
def test_another_file_is_refused_in_one_line(tmp_path, few_sprites, change, message):
    path = tmp_path / "d.npz"
    images = draw(few_sprites)
    if change == "text":
        path.write_text("no archive")
    elif change == "names":
        np.savez(path, images=images)
    elif change == "images":
        write(path, images[:, :, 1:], few_sprites)
    elif change == "factors":
        write(path, images, few_sprites[:, 1:])
    elif change == "order":
        write(path, images, few_sprites[::-1])
    elif change == "pixels":
        write(path, 255 * images, few_sprites)
    with pytest.raises(ConfigError) as error:
        all_images(DSprites(path=str(path), places=FEW).completed().path, FEW)
    assert str(error.value).startswith("data.path: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"places": (3, 6, 40)}, "data.places: (3, 6, 40) is not usable"),
        ({"places": (3, 7, 40, 32, 32)}, "data.places: (3, 7, 40, 32, 32) is not usable"),
        ({"side": 16}, "data.side: 16 is not usable; it must be 64 or 32"),
        ({"places": FEW, "n_train": 470, "n_eval": 50}, "data.n_train: 470 images beside 50"),
        ({"places": FEW, "n_train": 100, "n_eval": 1}, "data.n_eval: 1 of 480 images are held out"),
    ],
)
def test_settings_that_no_sprites_have_are_refused(fields, message):
    kinds = {"data": "dsprites", "method": "ivae", "networks": "ivae_conv"}
    given = {"n_train": 0, "n_eval": 0, **fields}
    with pytest.raises(ConfigError) as error:
        make_cells(resolve(tiny_dict({"kappa": (3,)}, **kinds, **given)))
    assert message in str(error.value)


def test_there_are_as_many_as_published():
    assert COUNT == 737_280
    assert KIND.samples(DSprites()) == (663_552, 73_728)
    assert FACTORS == (3, 6, 40, 32, 32)
