"""Sequences: ARMA processes against values from elsewhere, windows, and a file of one's own."""

import dataclasses

import numpy as np
import pytest
from conftest import tiny_dict
from hypothesis import given
from hypothesis import strategies as st

from mdvae.data.base import EPOCH, TURN
from mdvae.data.sequence_array import LEAST_SEQUENCES, SequenceArray
from mdvae.data.sequences import Sequences, arma, autocorrelation, windows
from mdvae.settings.config import resolve
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import LEAST_EVALUATED, Part, Sizes, make_cells
from mdvae.settings.registry import DATA

KIND, ARRAY = DATA.find("sequences"), DATA.find("sequence_array")
AR, MA = (0.5, -0.25, 0.4), (0.65, 0.35)
# Of statsmodels 0.15.0: arma_generate_sample and arma_acf of the polynomials [1, -.5, .25, -.4] and
# [1, .65, .35], scale 0.5, innovations of numpy.random.RandomState(7).standard_normal.
SAMPLE = [
    0.8452628519, 0.739083594415, 0.319048518811, 0.445744156411, 0.182468192573, -0.076634383618,
    -0.043471989132, -0.80688017495, -0.484838057895, 0.265823575327, -0.008093086161,
    -0.448388966921,
]  # fmt: skip
ACF = [
    1.0, 0.815945221552, 0.580088172365, 0.486057780794, 0.424384935927, 0.322713291711,
    0.249683524191, 0.213917413539,
]  # fmt: skip


def settings_of(**fields):
    return Sequences(kind="sequences", **{"r": 3, "d": 5, "n_train": 400, "n_eval": 100, **fields})


def made(settings, split="train", seed=0, told=True, n=None):
    width = KIND.sizes(settings, told)
    sizes = Sizes(4, *width)
    n = n or KIND.samples(settings)[split == "eval"]
    found = KIND.make((settings, sizes), KIND.table(settings, seed), n, split, None)
    assert {k: x.shape[:-1] for k, x in found.items()} == KIND.shapes(sizes)
    return found


def series_of(found):
    """The series of which samples are neighbouring stretches, [d, points]."""
    x = np.concatenate([found["c"], found["x"]]) if "c" in found else found["x"]
    return np.concatenate([x[:, :, 0].T, x[-1, :, 1:]], axis=1)


def test_processes_are_those_of_statsmodels():
    innovations = 0.5 * np.random.RandomState(7).standard_normal((1, 12))
    np.testing.assert_allclose(arma(innovations, AR, MA), [SAMPLE], atol=1e-11)
    np.testing.assert_allclose(autocorrelation(AR, MA, 7), ACF, atol=1e-9)


def test_autocorrelations_are_the_closed_forms():
    np.testing.assert_allclose(autocorrelation((0.8,), (), 5), 0.8 ** np.arange(6), rtol=1e-12)
    np.testing.assert_allclose(autocorrelation((), (0.5,), 3), [1, 0.4, 0, 0], atol=1e-12)
    np.testing.assert_allclose(autocorrelation((-0.99,), (), 3), [1, -0.99, 0.9801, -0.970299])


def test_series_have_the_process_and_the_dimension():
    found = made(settings_of(n_train=40_000, length=2, past=1))
    x = series_of(found)
    centred = x - x.mean(axis=1, keepdims=True)
    covariance = [centred[:, lag:] @ centred[:, : x.shape[1] - lag].T for lag in range(4)]
    values = [np.trace(each) / np.trace(covariance[0]) for each in covariance]
    np.testing.assert_allclose(values, ACF[:4], atol=0.03)
    # On an affine image of R^3, to single precision.
    scales = np.linalg.svd(centred / np.sqrt(x.shape[1]), compute_uv=False)
    assert scales[2] > 1e-3
    assert scales[3] < 1e-5
    more = made(settings_of(n_train=40_000, length=2, past=1, innovation=1.0))
    np.testing.assert_allclose(series_of(more).std(), 2.0 * x.std(), rtol=0.3)


def test_samples_are_neighbouring_stretches():
    found = made(settings_of())
    assert found["c"].shape == (5, 5, 400)
    assert found["x"].shape == (1, 5, 400)
    whole = np.concatenate([found["c"], found["x"]])
    np.testing.assert_array_equal(whole[1:, :, :-1], whole[:-1, :, 1:])
    # Without the condition what is predicted stays the same.
    alone = made(settings_of(), told=False)
    assert list(alone) == ["x"]
    np.testing.assert_array_equal(alone["x"], found["x"])
    np.testing.assert_array_equal(
        made(settings_of(past=0), told=True)["x"], np.concatenate([found["c"], found["x"]])
    )
    cut = windows(np.arange(5)[None], 3)[:, 0]
    np.testing.assert_array_equal(cut.T, [[0, 1, 2], [1, 2, 3], [2, 3, 4]])


def test_series_begin_at_0_unless_burnt_in_and_noise_lies_off_them():
    start, later = (np.abs(series_of(made(settings_of(burn_in=n)))) for n in (0, 500))
    assert not np.array_equal(start, later)
    clean, noisy = (series_of(made(settings_of(sigma=s))) for s in (0.0, 0.1))
    assert np.std(noisy - clean) == pytest.approx(0.1, rel=0.1)
    assert KIND.parts(settings_of(sigma=0.1)) == (Part(dimension=3, noise=0.1),)


def test_evaluation_is_fresh_or_repeats_what_training_began_with():
    train, fresh = series_of(made(settings_of(r=1))), series_of(made(settings_of(r=1), "eval"))
    assert np.abs(fresh - train[:, : fresh.shape[1]]).max() > 0.1
    same = settings_of(r=1, evaluation="repeated")
    np.testing.assert_array_equal(made(same, "eval")["x"], made(same)["x"][..., :100])
    # The map is that of the seed; another has another.
    np.testing.assert_array_equal(made(settings_of(r=1))["x"], made(same)["x"])
    assert np.abs(made(same, seed=1)["x"] - made(same)["x"]).max() > 0.1
    # Of more series than one, the published way: the first repeats, the next go on from it.
    several = settings_of(r=2, d=2, evaluation="repeated", burn_in=0)
    first, other = series_of(made(several)), series_of(made(several, "eval"))
    assert not np.allclose(first[:, : other.shape[1]], other, atol=1e-3)


def test_orders_of_batches():
    assert KIND.order_of(settings_of()) == EPOCH
    assert KIND.order_of(settings_of(batches="in_turn")) == TURN
    assert ARRAY.order_of(None) == EPOCH


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"past": 6}, "data.past: 6 is not usable; it must be below length = 6, so that a point"),
        (
            {"ar": (0.5, 0.6)},
            "data.ar: (0.5, 0.6) is not usable; it must be of a stationary",
        ),
        ({"ar": (-1.0,)}, "the largest is 1"),
        (
            {"ar": 0.5},
            "data.ar: 0.5 is not usable; it must be a tuple of numbers, one for",
        ),
        ({"length": 1}, "data.length: 1 is not usable; it must be a whole number, 2 or more"),
        (
            {"batches": "any"},
            "data.batches: 'any' is not usable; it must be one of random, in_",
        ),
        (
            {"evaluation": "repeated", "n_eval": 500},
            "data.n_eval: 500 is not usable where the innovations of training are repeated",
        ),
        ({"networks": "mlp"}, "networks.kind: 'mlp' has no use for data.kind 'sequences'"),
        ({"hidden": ()}, "networks.hidden: () is not usable; give a layer, as (32,)"),
        (
            {"model": "vae"},
            "data.past: 5 has no effect on a VAE, which is given no points; it must be 0, or",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(fields, message):
    kinds = {"data": "sequences", "networks": "lstm", "model": "cvae", **fields}
    with pytest.raises(ConfigError) as caught:
        make_cells(resolve(tiny_dict({"kappa": (3,), "d": (5,), "r": (2,)}, **kinds)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_networks_of_sequences_refuse_other_data():
    with pytest.raises(ConfigError, match=r"'lstm' has no use for data.kind 'manifold'"):
        make_cells(resolve(tiny_dict(networks="lstm")))


@pytest.fixture
def path(tmp_path):
    """Thirty sequences of eight points, each value told by where it stands."""
    file = tmp_path / "x.npy"
    n, t, d = np.indices((30, 8, 2))
    np.save(file, (1000.0 * n + 10 * t + d))
    return file


def array_of(path, **fields):
    return SequenceArray(kind="sequence_array", path=str(path), **fields).completed()


def array_made(settings, split):
    sizes = Sizes(4, *ARRAY.sizes(settings, True))
    return ARRAY.make((settings, sizes), ARRAY.table(settings, 0), 10**6, split, None)


def test_own_sequences_are_split_whole(path):
    settings = array_of(path, length=5, past=2)
    assert (settings.sequences, settings.points, settings.d) == (30, 8, 2)
    assert ARRAY.samples(settings) == (24 * 4, 6 * 4)
    train, held = (array_made(settings, split) for split in ("train", "eval"))
    assert train["c"].shape == (2, 2, 96)
    assert held["x"].shape == (3, 2, 24)
    owners = [set((each["x"] // 1000).ravel()) for each in (train, held)]
    assert owners[0].isdisjoint(owners[1])
    assert owners[0] | owners[1] == set(range(30))
    whole = np.concatenate([train["c"], train["x"]])
    steps = np.unique(np.diff(whole, axis=0))
    np.testing.assert_array_equal(steps, [10.0])
    assert ARRAY.units(settings).mean.shape == (2,)
    assert array_made(array_of(path), "train")["x"].shape == (8, 2, 24)


def test_of_few_sequences_the_ends_are_held_out(tmp_path):
    file = tmp_path / "x.npz"
    np.savez(file, x=np.arange(2 * 200.0).reshape(2, 200, 1))
    settings = array_of(file, length=10, past=9, n_eval=50, stride=2)
    assert ARRAY.samples(settings) == (2 * 71, 2 * 21)
    train, held = (array_made(settings, split)["x"] for split in ("train", "eval"))
    assert (train.shape[-1], held.shape[-1]) == (142, 42)
    assert np.max(train % 200) < 150 <= np.min(held % 200)
    np.testing.assert_array_equal(np.diff(train[0, 0])[:5], 2.0)


@given(
    st.integers(1, 40), st.integers(2, 60), st.integers(0, 60), st.integers(1, 5),
    st.one_of(st.floats(0.05, 0.95), st.integers(1, 50)),
)  # fmt: skip
def test_samples_are_as_many_as_are_made(sequences, points, length, stride, n_eval):
    settings = SequenceArray(
        kind="sequence_array", sequences=sequences, points=points,
        length=min(length, points) or points, stride=stride, n_eval=float(n_eval), past=0, d=1,
    )  # fmt: skip
    n_train, held = ARRAY.samples(settings)
    try:
        ARRAY.check(settings, lambda name: f"data.{name}")
    except ConfigError as error:
        assert "\n" not in str(error)
        return
    assert held >= LEAST_EVALUATED
    values = np.zeros((sequences, points, 1))
    by_time = sequences < LEAST_SEQUENCES
    n = points if by_time else sequences
    cut = n - (max(1, round(n_eval * n)) if n_eval < 1 else int(n_eval))
    parts = (values[:, :cut], values[:, cut:]) if by_time else (values[:cut], values[cut:])
    made = [
        sum(len(range(0, part.shape[1] - settings.length + 1, stride)) for _ in part)
        for part in parts
    ]
    assert made == [n_train, held]


@pytest.mark.parametrize(
    ("values", "fields", "message"),
    [
        (
            np.zeros((30, 8)),
            {},
            "has shape (30, 8); it must have three axes, sequences, points",
        ),
        (np.zeros((30, 2, 0)), {}, "it must have a column or more"),
        (
            np.ones((3, 20, 2)),
            {},
            "has 60 points of all sequences together; it must have 100",
        ),
        (np.ones((30, 20, 2)), {}, "is constant"),
        (np.ones((30, 20, 2)), {"length": 21}, "data.length: 21 is more than the 20 points"),
        (np.ones((30, 20, 2)), {"points": 20}, "data.points: is found in the file; leave it out"),
    ],
)
def test_own_sequences_that_cannot_be_used(tmp_path, values, fields, message):
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(ConfigError) as caught:
        array_of(tmp_path / "x.npy", **fields)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_eval": 30}, "data.n_eval: 30 holds out all 30 sequences; it must leave some"),
        ({"n_eval": 2}, "a smaller data.length gives more of both"),
        ({"length": 6, "stride": 9, "n_eval": 5}, "a smaller data.length or data.stride gives"),
        (
            {"grid": {"kappa": (3,), "length": (0, 6)}},
            "grid.length: 0 is not usable; on an axis it",
        ),
        ({"grid": {"kappa": (3,), "length": (2, 9)}}, "must be from 1 to 8, the points of a sequ"),
    ],
)
def test_splits_of_own_sequences_that_cannot_be(path, fields, message):
    grid = fields.get("grid", {"kappa": (3,)})
    rest = {name: value for name, value in fields.items() if name != "grid"}
    kinds = {"data": "sequence_array", "networks": "lstm", "model": "cvae", "path": str(path)}
    with pytest.raises(ConfigError) as caught:
        make_cells(resolve(tiny_dict(grid, **{**kinds, "n_eval": 0.3, **rest})))
    assert message in str(caught.value)


def test_samples_that_would_not_fit_are_refused(path, monkeypatch):
    settings = array_of(path, length=2)
    monkeypatch.setattr("mdvae.data.files.psutil.virtual_memory", lambda: Memory)
    with pytest.raises(ConfigError, match=r"0\.0 are free; give fewer sequences, or a larger"):
        ARRAY.check(settings, lambda name: f"data.{name}")


class Memory:
    available = 100


def test_a_missing_value_is_told_by_its_sequence(path):
    values = np.load(path)
    values[4, 3, 1] = np.nan
    np.save(path, values)
    with pytest.raises(ConfigError, match="has nan in sequence 4, point 3, column 1; it must hold"):
        array_of(path)


def test_changed_values_are_found_out(path):
    settings = array_of(path)
    np.save(path, np.load(path) + 1.0)
    with pytest.raises(ConfigError, match="are not those that this run was begun with"):
        array_made(settings, "train")
    assert dataclasses.replace(settings).completed() is not None
