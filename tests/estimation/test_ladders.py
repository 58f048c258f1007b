"""Which models are trained on a table, and what is known of it before."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from mdvae.analysis.neighbours import nearest, two_nn
from mdvae.estimation import normal_law
from mdvae.estimation.evidence import left_by, look
from mdvae.estimation.plan import (
    EFFORTS,
    gaussian_nelbo,
    ladder_config,
    rungs_left,
    rungs_of,
    scaled,
)


@given(st.floats(0.0, 60.0), st.integers(1, 800), st.integers(2, 12))
def test_a_ladder_ends_in_one_wide_rung(near, span, count):
    rungs = rungs_of(near, span, count)
    assert list(rungs) == sorted(set(rungs))
    assert 1 <= len(rungs) <= count
    assert rungs[0] >= 1
    # Wider than what neighbours see, and than the span unless that is far.
    assert rungs[-1] > min(near, span)
    assert rungs[-1] == min(span + 2, math.ceil(3 * near + 12))


def test_rungs_around_what_neighbours_see():
    assert rungs_of(10.0, 20, 4) == (8, 12, 15, 22)
    assert rungs_of(9.6, 11, 4) == (8, 9, 11, 13)
    assert rungs_of(1.0, 3, 4) == (1, 2, 5)
    assert rungs_of(12.0, 784, 4)[-1] == 48


def test_rungs_that_are_left():
    assert rungs_left(10, 11, 22) == (9, 10, 11, 22)
    assert rungs_left(1, 5, 5) == (1, 2, 5)
    assert rungs_left(6, 14, 14) == (5, 6, 7, 14)


def test_a_union_is_seen():
    generator = np.random.default_rng(0)
    line = generator.uniform(-1, 1, (800, 1)) * np.ones(9)
    ball = generator.normal(size=(800, 5)) @ np.eye(5, 9) + 10
    seen = look(np.concatenate([line, ball]))
    assert seen.thin == pytest.approx(1.0, abs=0.3)
    assert seen.thick == pytest.approx(5.0, abs=1.0)
    alone = look(ball)
    assert alone.thick < 1.5 * alone.thin
    repeated = look(np.concatenate([ball, ball]))
    assert math.isnan(repeated.thin)


@pytest.mark.parametrize("dimension", [1, 2])
def test_regular_rows_have_a_dimension(dimension):
    steps = np.linspace(0, 1, 52 if dimension == 2 else 900)
    grid = np.stack(np.meshgrid(*dimension * [steps]), axis=-1).reshape(-1, dimension)
    seen = look(np.concatenate([grid, np.sin(3 * grid)], axis=1))
    assert seen.on_grid
    assert seen.neighbours == pytest.approx(dimension, abs=0.5)
    assert seen.low <= seen.neighbours <= seen.high
    # Also of what is left of them once one of their coordinates is given.
    told = left_by(seen, grid[:, :1])
    assert told.neighbours == pytest.approx(dimension - 1, abs=0.6)
    generator = np.random.default_rng(0)
    assert not look(generator.uniform(size=(900, dimension))).on_grid


def test_columns_are_divided_where_one_has_most_of_the_variance():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(500, 5)) * [1, 1, 1, 1, 30]
    table, scales, note = scaled(x)
    np.testing.assert_allclose(table.std(axis=0), 1.0)
    np.testing.assert_allclose(table * scales, x)
    assert "more than half of the variance" in note
    same, none, silent = scaled(x[:, :4])
    assert same is not x
    assert (none, silent) == ((), "")
    np.testing.assert_array_equal(same, x[:, :4])
    # Of three columns one may well have most; pixels share a unit.
    assert scaled(x[:, 2:])[1] == ()
    pixels = np.zeros((100, 8), np.uint8)
    pixels[:50, 0] = 255
    assert scaled(pixels)[1] == ()


def test_the_loss_of_a_normal_law():
    generator = np.random.default_rng(0)
    train, held_out = generator.normal(size=(2, 4_000, 3)) @ generator.normal(size=(3, 3)) + 7
    expected = -scipy.stats.multivariate_normal(
        train.mean(axis=0), np.cov(train.T, bias=True)
    ).logpdf(held_out)
    assert gaussian_nelbo(train, held_out) == pytest.approx(expected.mean(), rel=1e-9)
    flat = np.concatenate([train, train[:, :1]], axis=1)
    assert math.isnan(gaussian_nelbo(flat, flat))
    assert math.isnan(gaussian_nelbo(train[:3], held_out))


def test_the_config_of_a_ladder(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(300, 4)))
    np.save(tmp_path / "c.npy", np.arange(300.0)[:, None])
    stage = EFFORTS["quick"].first
    config = ladder_config(tmp_path / "x.npy", (2, 6), stage, 300, 7)
    assert config.grids == {"": {"kappa": (2, 6)}}
    assert (config.seed, config.seeds, config.steps) == (7, stage.seeds, stage.steps)
    assert config.batch_size == 240  # all that are trained on
    assert config.save_every % config.log_every == 0
    told = ladder_config(tmp_path / "x.npy", (2, 6), stage, 300, 7, tmp_path / "c.npy")
    assert (told.data.kind, told.data.c, told.method.model) == ("array_given", 1, "cvae")


@pytest.mark.parametrize("k", [1, 4, 10, 20])
def test_the_normal_law_is_measured(k):
    """The table's entries are those of fresh draws, to what few draws allow."""
    draws = [
        two_nn(nearest(np.random.default_rng(s).normal(size=(1_000, k)), 2).distances)
        for s in range(900, 906)
    ]
    place = normal_law.DIMENSIONS.index(k)
    error = k * math.sqrt(1.5 / 1_000 / len(draws))
    assert normal_law.seen(1_000)[place] == pytest.approx(np.mean(draws), abs=3.5 * error)


@pytest.mark.parametrize("n", [50, 100, 700, 5_000, 40_000])
def test_calibration_is_the_inverse_of_what_is_seen(n):
    for k, seen in zip(normal_law.DIMENSIONS, normal_law.seen(n), strict=True):
        assert normal_law.calibrated(seen, n) == pytest.approx(k, rel=0.04)
    assert normal_law.calibrated(0.0, n) == 0.0
    beyond = 1.5 * normal_law.seen(n)[-1]
    assert normal_law.calibrated(beyond, n) == pytest.approx(1.5 * 64, rel=0.04)
    values = np.linspace(0, beyond, 200)
    assert np.all(np.diff([normal_law.calibrated(v, n) for v in values]) >= 0)


def test_what_neighbours_see_of_a_plane_and_what_is_left():
    generator = np.random.default_rng(1)
    u = generator.normal(size=(1_500, 5))
    x = u @ generator.normal(size=(5, 12))
    seen = look(x)
    assert (seen.span, seen.local) == (5, pytest.approx(5.0, abs=0.1))
    assert seen.neighbours == pytest.approx(5.0, abs=0.5)
    assert seen.low < seen.neighbours < seen.high
    assert seen.points.shape == (1_500, 12)
    left = left_by(seen, u[:, :2])
    assert left.neighbours == pytest.approx(3.0, abs=0.6)
    assert left.low < left.neighbours < left.high
    # What is given need not be a function of x: of four columns, two others leave four.
    other = generator.normal(size=(1_500, 2))
    assert left_by(seen, other).neighbours == pytest.approx(5.0, abs=0.8)
    # Nor all different.
    ages = np.round(20 * u[:, :1])
    assert left_by(seen, ages).neighbours == pytest.approx(4.0, abs=0.8)
    # Nor as many different as there are rows: here each row of them occurs fifteen times.
    repeated = np.repeat(generator.normal(size=(100, 2)), 15, axis=0)
    tied = look(np.concatenate([x, repeated @ generator.normal(size=(2, 3))], axis=1))
    assert left_by(tied, repeated).neighbours == pytest.approx(5.0, abs=1.0)
    # Classes have no dimension.
    assert left_by(seen, np.round(u[:, :1] > 0)).neighbours == seen.neighbours
    assert left_by(seen, None) is seen
