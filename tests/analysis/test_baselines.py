"""Opinions: that all are given, on what they rest, and that one that fails says why."""

import re
import sys

import numpy as np
import pytest
from shapes import embedded

from mdvae.analysis import baselines
from mdvae.analysis.baselines import missing, opinions

OWN = ["TwoNN", "MLE", "local PCA", "TwoNN calibrated"]
EXTRA = ["DANCo", "FisherS", "CorrInt", "MiND"]


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def by_name(told):
    return {one.name: one for one in told}


def plane(n, d, columns, generator):
    return embedded(generator.normal(size=(n, d)), columns, generator)


@pytest.fixture(scope="module")
def told():
    generator = np.random.default_rng(5)
    progress = []
    given = opinions(plane(1000, 3, 10, generator), generator, progress.append)
    return given, progress


def test_all_are_asked(told):
    given, progress = told
    assert [one.name for one in given] == OWN + EXTRA
    assert [said for said in progress if said in OWN + EXTRA] == OWN + EXTRA
    assert missing() == ""


def test_a_plane_has_three_dimensions(told):
    for one in told[0]:
        assert one.value == pytest.approx(3, abs=0.3), one
        assert one.low <= one.value <= one.high, one


def test_notes_say_the_settings(told):
    notes = {name: one.note for name, one in by_name(told[0]).items()}
    assert re.fullmatch(r"k=20; [23]\.\d to 3\.\d for k from 5 to 100", notes["MLE"])
    assert notes["local PCA"] == "k=100; components above 0.1 of the first"
    assert notes["TwoNN calibrated"].startswith("against independent columns of known number")
    rows = "scikit-dimension; 1000 rows, interval from 5 halves of them"
    assert all(notes[name].startswith(rows) for name in EXTRA)
    assert notes["DANCo"].endswith("at the linear span, 3, or above")


def test_no_more_dimensions_than_the_linear_span(rng):
    """Points that keep away from each other have neighbours as in more dimensions."""
    grid = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), axis=-1).reshape(-1, 2)
    told = by_name(opinions(grid + rng.uniform(0, 0.3, size=grid.shape), rng, extra=False))
    assert told["TwoNN"].value > 2.5
    assert told["TwoNN calibrated"].value == 2.0
    assert told["TwoNN calibrated"].note.endswith("at the linear span, 2, and may be less")


def test_same_generator_same_opinions(rng):
    x = plane(200, 2, 4, rng)
    first, second = (opinions(x, np.random.default_rng(1), extra=False) for _ in range(2))
    assert first == second


def test_halves_measure_the_spread_of_an_estimate(rng, monkeypatch):
    """Of a mean, whose standard error is known: the factor for halves is 1."""

    class Mean:
        def __init__(self, x):
            self.dimension_ = x[:, 0].mean()

    class Estimator:
        fit = staticmethod(Mean)

    monkeypatch.setitem(baselines.EXTRA, "mean", lambda skdim, d: Estimator)
    monkeypatch.setattr(baselines, "HALVES", 400)
    x = rng.normal(size=(500, 1))
    told = baselines._halved("mean", x, rng)
    assert told.value == x.mean()
    error = x.std(ddof=1) / 500**0.5
    assert (told.high - told.low) / 2 == pytest.approx(1.966 * error, rel=0.12)


@pytest.mark.parametrize("how", ["raises", "nan"])
def test_one_that_fails_says_why(how, rng, monkeypatch):
    class Broken:
        def fit(self, x):
            if how == "raises":
                raise RuntimeError("no convergence\nsecond line")
            self.dimension_ = np.nan
            return self

    monkeypatch.setitem(baselines.EXTRA, "DANCo", lambda skdim, d: Broken())
    one = by_name(opinions(plane(100, 2, 4, rng), rng))["DANCo"]
    assert np.isnan([one.value, one.low, one.high]).all()
    expected = {"raises": "failed: RuntimeError: no convergence", "nan": "failed: no number"}
    assert one.note.startswith(expected[how])
    assert "\n" not in one.note


def test_without_scikit_dimension(rng, monkeypatch):
    monkeypatch.setattr(baselines.importlib.util, "find_spec", lambda name: None)
    assert "pip install 'mdvae[baselines]'" in missing()
    assert "\n" not in missing()
    assert [one.name for one in opinions(plane(100, 2, 4, rng), rng)] == OWN


def test_scikit_dimension_that_cannot_be_imported(rng, monkeypatch):
    monkeypatch.setattr(baselines, "missing", lambda: "")
    monkeypatch.setitem(sys.modules, "skdim", None)
    given = by_name(opinions(plane(100, 2, 4, rng), rng))
    assert np.isnan(given["FisherS"].value)
    assert "ModuleNotFoundError" in given["FisherS"].note
    assert given["TwoNN"].value == pytest.approx(2, abs=0.5)


def test_duplicates_are_left_out(rng):
    x = plane(300, 2, 4, rng)
    twice = opinions(np.repeat(x, 2, axis=0), np.random.default_rng(1), extra=False)
    once = opinions(x, np.random.default_rng(1), extra=False)
    assert [one[:4] for one in twice] == [one[:4] for one in once]
    assert all(one.note.endswith("300 duplicate rows left out") for one in twice)
    assert twice[0].note == "300 duplicate rows left out"


@pytest.mark.parametrize("shape", [(3, 2), (12, 1), (12, 30), (300, 1)])
def test_little_data_gives_opinions_all_the_same(shape, rng):
    given = opinions(rng.normal(size=shape), rng)
    assert [one.name for one in given] == OWN + EXTRA
    assert all(np.isfinite(one.value) or one.note.startswith("failed: ") for one in given)


def test_data_without_a_dimension():
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match="1 different row: too few"):
        opinions(np.ones((50, 3)), generator)
    with pytest.raises(ValueError, match="finite"):
        opinions(np.full((50, 3), np.inf), generator)
    with pytest.raises(ValueError, match="finite"):
        opinions(np.ones(50), generator)
