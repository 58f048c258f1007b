"""A table and what is given of its rows: how they are split, scaled, checked and found again."""

import numpy as np
import pytest
from conftest import tiny_dict

from mdvae.data.array_given import ArrayGiven, standardised
from mdvae.settings.config import differences, resolve
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import make_cells
from mdvae.settings.registry import DATA

KIND = DATA.find("array_given")
ROWS, D = 150, 4


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(ROWS, D))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "c.npy", 5 + 3 * x[:, :2])
    return tmp_path


def settings_of(folder, **fields):
    files = {"path": str(folder / "x.npy"), "given": str(folder / "c.npy"), **fields}
    return ArrayGiven(kind="array_given", **files).completed()


def made(settings, sizes, split):
    return KIND.make((settings, sizes), KIND.table(settings, 0), ROWS, split, None)


def config_of(folder, **fields):
    files = {"path": str(folder / "x.npy"), "given": str(folder / "c.npy"), **fields}
    changes = {"data": "array_given", "model": "cvae", "n_eval": 0.2, **files}
    return resolve(tiny_dict({"kappa": (3,)}, **changes))


def test_rows_and_what_is_given_stay_together(folder):
    (cell,) = make_cells(config_of(folder))
    assert (cell.sizes.d, cell.sizes.c) == (D, 2)
    both = [made(cell.data, cell.sizes, split) for split in ("train", "eval")]
    x, c = (np.concatenate([each[name] for each in both], axis=1) for name in ("x", "c"))
    assert x.shape == (D, ROWS)
    np.testing.assert_allclose(c.mean(axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(c.std(axis=1), 1.0)
    for j in range(2):
        assert np.corrcoef(x[j], c[j])[0, 1] == pytest.approx(1.0)


def test_a_vae_is_told_nothing(folder):
    (cell,) = make_cells(config_of(folder, model="vae"))
    assert cell.sizes.c == 0
    assert set(made(cell.data, cell.sizes, "eval")) == {"x"}


def test_columns_of_one_value_are_told_as_zero():
    given = np.array([[1.0, 7.0], [3.0, 7.0]])
    np.testing.assert_array_equal(standardised(given), [[-1.0, 0.0], [1.0, 0.0]])


def test_other_values_given_are_another_config(folder):
    before = config_of(folder)
    c = np.load(folder / "c.npy")
    np.savez(folder / "moved.npz", c=c, d=c)
    moved = config_of(folder, given=str(folder / "moved.npz"), given_array="c")
    assert differences(before, moved) == []
    np.save(folder / "c.npy", c + 1)
    (line,) = differences(before, config_of(folder))
    assert line.startswith("data.given_content: 'sha256:")
    (cell,) = make_cells(before)
    with pytest.raises(ConfigError, match=r"data\.given: the values in .*c\.npy are not those"):
        made(cell.data, cell.sizes, "eval")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"given": ""}, r"^data\.given: missing; give a \.npy or \.npz file$"),
        ({"given": "none.npy"}, r"^data\.given: none\.npy does not exist"),
        ({"given_array": "c"}, r"^data\.given_array: 'c' has no effect on a \.npy file"),
        ({"c": 2}, r"^data\.c: is found in the file; leave it out$"),
    ],
)
def test_mistakes(folder, fields, message):
    with pytest.raises(ConfigError, match=message):
        settings_of(folder, **fields)


def test_as_many_rows(folder):
    np.save(folder / "c.npy", np.arange(120.0)[:, None])
    with pytest.raises(ConfigError, match=r"c\.npy has 120 rows and .*x\.npy 150; it must have as"):
        settings_of(folder)
