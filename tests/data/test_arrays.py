"""A table of one's own: what its kind states, how it is split, and what a config keeps of it."""

import dataclasses
import json

import numpy as np
import pytest
from conftest import tiny_dict
from hypothesis import given
from hypothesis import strategies as st

from mdvae.data.arrays import Array
from mdvae.data.files import LEAST_ROWS
from mdvae.data.units import to_networks
from mdvae.methods.base import cell_numbers
from mdvae.settings.config import differences, from_json, resolve
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import LEAST_EVALUATED, Part, make_cells
from mdvae.settings.registry import DATA

KIND = DATA.find("array")
ROWS, D = 150, 4


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "x.npy"
    np.save(file, 10 + 12 * np.random.default_rng(0).normal(size=(ROWS, D)) * [0.5, 1, 1, 1.3])
    return file


def settings_of(path, **fields):
    return Array(kind="array", path=str(path), **fields).completed()


def config_of(path, grid=None, **fields):
    fields = {"n_eval": 0.2, **fields, "path": path if isinstance(path, int) else str(path)}
    return resolve(tiny_dict(grid or {"kappa": (3,)}, data="array", **fields))


def made(settings, split, n=ROWS):
    return KIND.make((settings, None), KIND.table(settings, 0), n, split, None)["x"]


def test_the_split_is_fixed_and_loses_no_row(path):
    settings = settings_of(path)
    assert KIND.samples(settings) == (120, 30)
    train, held = made(settings, "train"), made(settings, "eval")
    assert (train.shape, held.shape) == ((D, 120), (D, 30))
    both = np.concatenate([train, held], axis=1)
    assert sorted(map(tuple, both.T)) == sorted(map(tuple, np.load(path)))
    assert not np.array_equal(both.T, np.load(path))  # shuffled
    # Whatever the seed; another size of it cuts the same order elsewhere.
    assert KIND.table(settings, 0) == KIND.table(settings, 7)
    more = made(settings_of(path, n_eval=40), "eval")
    np.testing.assert_array_equal(more[:, :30], held)
    np.testing.assert_array_equal(made(settings, "eval", 7), held[:, :7])


@given(st.one_of(st.floats(0.001, 0.999), st.integers(1, 300)), st.integers(LEAST_ROWS, 100_000))
def test_enough_rows_are_held_out_and_left(n_eval, rows):
    settings = Array(kind="array", rows=rows, n_eval=float(n_eval))
    n_train, held = KIND.samples(settings)
    assert n_train + held == rows
    if n_eval >= 1:
        assert held == n_eval
    else:
        assert abs(held - max(LEAST_EVALUATED, n_eval * rows)) <= 0.5
    try:
        KIND.check(settings, lambda name: f"data.{name}")
    except ConfigError as error:
        assert "\n" not in str(error)
        assert held < LEAST_EVALUATED or n_train < LEAST_ROWS - LEAST_EVALUATED
    else:
        assert held >= LEAST_EVALUATED
        assert n_train >= LEAST_ROWS - LEAST_EVALUATED


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_eval": 5}, "data.n_eval: 5 holds out 5 of 150 rows and leaves 145; it must hold out"),
        ({"n_eval": 0.9}, "data.n_eval: 0.9 holds out 135 of 150 rows and leaves 15; it must"),
        ({"n_eval": 1000}, "data.n_eval: 1000 holds out 1000 of 150 rows and leaves -850"),
        ({"n_eval": 0}, "data.n_eval: 0.0 is not usable; it must be a fraction between 0 and 1"),
        ({"n_eval": 30.5}, "data.n_eval: 30.5 is not usable; it must be a fraction"),
        ({"scaling": "robust"}, "data.scaling: 'robust' is not usable; it must be one of standard"),
        ({"array": "x"}, "data.array: 'x' has no effect on a .npy file; leave it out"),
        ({"path": ""}, "data.path: missing; give a .npy or .npz file"),
        ({"path": 3}, "data.path: 3 is not usable; it must be a text"),
        ({"data.rows": 150}, "data.rows: is found in the file; leave it out"),
        ({"data.d": 4}, "data.d: is found in the file; leave it out"),
        ({"batch_size": 121}, "batch_size: 121 is more than n_train = 120; it must be 120 or less"),
        (
            {"grid": {"kappa": (3,), "d": (4,)}},
            "grid.d: is found with data.kind 'array', not set; leave it out",
        ),
        ({"grid": {"kappa": (3,), "r": (2,)}}, "grid.r: no such field"),
        (
            {"grid": {"kappa": (3,), "path": ("a",)}},
            "grid.path: is one for the whole sweep and no axis; set data.path",
        ),
    ],
)
def test_mistakes_are_one_line(path, fields, message):
    with pytest.raises(ConfigError) as caught:
        make_cells(config_of(**{"path": path, **fields}))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_config_keeps_what_was_found_and_needs_the_file_no_more(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    config = config_of("x.npy")
    assert config.data.path == str(path)  # wherever a later command is called from
    x = np.load(path)
    text = json.dumps(config.to_json())
    path.unlink()
    again = from_json(json.loads(text))
    assert again == config
    (cell,) = make_cells(again)
    assert (cell.sizes.d, cell.sizes.r, cell.sizes.c) == (D, 0, 0)
    assert cell.parts == (Part(),)
    np.testing.assert_allclose(cell.data.mean, x.mean(axis=0), rtol=1e-12)
    with pytest.raises(ConfigError, match="does not exist"):
        made(cell.data, "train")


def test_other_values_are_another_config_and_another_place_is_not(path, tmp_path):
    before = config_of(path)
    moved = tmp_path / "moved.npz"
    np.savez(moved, x=np.load(path))
    assert differences(before, config_of(moved)) == []
    np.save(path, np.load(path) + 1e-9)
    (line,) = differences(before, config_of(path))
    assert line.startswith("data.content: 'sha256:")
    with pytest.raises(ConfigError, match=r"x\.npy are not those that this run was begun with;"):
        made(before.data, "eval")


def test_standard_scaling_is_one_number_for_all_columns(path):
    x = np.load(path)
    scale = np.sqrt(x.var(axis=0).mean())
    settings = settings_of(path)
    units = KIND.units(settings)
    seen = to_networks(units, x)
    np.testing.assert_allclose(seen, (x - x.mean(axis=0)) / scale, rtol=1e-5, atol=1e-6)
    assert seen.var(axis=0).mean() == pytest.approx(1.0, rel=1e-5)
    assert seen.var(axis=0).min() < 0.5  # the shape of the data is left alone
    assert (units.low, units.high) == pytest.approx((seen.min(), seen.max()), rel=1e-5)
    raw = KIND.units(settings_of(path, scaling="none"))
    np.testing.assert_array_equal(to_networks(raw, x), x.astype(np.float32))
    assert (raw.low, raw.high) == (x.min(), x.max())
    assert raw.log_scale == 0.0


@pytest.mark.parametrize("scaling", ["standard", "none"])
def test_gamma_starts_at_the_variance_of_the_data(path, scaling):
    """log_gamma_init counts from there, held levels are in the data's units."""
    variance = np.log(np.load(path).var(axis=0).mean())
    grid = {
        "learned": {"kappa": (3,), "log_gamma_init": (0.0, -2.0)},
        "held": {"kappa": (3,), "log_gamma": (1.5,)},
    }
    cells = make_cells(config_of(path, grid, scaling=scaling))
    held, plain, lower = (
        cells if cells[0].method.log_gamma is not None else (*cells[2:], *cells[:2])
    )
    shift = 2 * KIND.units(plain.data).log_scale
    assert shift == pytest.approx(variance if scaling == "standard" else 0.0)
    starts = [cell_numbers(cell)["log_gamma_start"] + shift for cell in (plain, lower, held)]
    assert starts == pytest.approx([variance, variance - 2.0, 1.5])
    assert cell_numbers(held)["log_gamma"] + shift == pytest.approx(1.5)
    (annealed,) = make_cells(
        config_of(path, {"kappa": (3,), "log_gamma": (1.5,)}, scaling=scaling, anneal=0.5)
    )
    numbers = cell_numbers(annealed)
    assert numbers["log_gamma_init"] + shift == pytest.approx(variance)
    assert numbers["log_gamma_start"] == numbers["log_gamma_init"]


def test_a_config_of_another_kind_may_be_turned_into_this_one(path):
    config = tiny_dict({"kappa": (3,)})
    config.data = {**config.data.to_dict(), "kind": "array", "path": str(path)}
    config.data.n_train, config.data.n_eval = 100_000, 30
    resolved = resolve(config)
    assert dataclasses.asdict(resolved.data)["rows"] == ROWS
