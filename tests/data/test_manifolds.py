"""Data of one manifold: noise, fresh samples and conditions, independent of padding."""

import geometry
import jax
import numpy as np
import pytest
import scipy.special
import scipy.stats
from geometry import rank, residual

from mdvae.data.base import DataSizes, stack_tables
from mdvae.data.manifolds import Law, Manifold, Table
from mdvae.settings.grid import Part, Sizes
from mdvae.settings.registry import DATA

KIND = DATA.find("manifold")
TABLE = Table(seed=7, d=8, r=3, t=0, sigma=0.0)
LAW = Law("identity", "authors", d=8, r=3, c=0, noisy=False)


def arrays(table=TABLE, law=LAW, n=600, split="train"):
    return geometry.arrays(KIND, law, table, n, split)


def test_noise_is_normal_and_leaves_padding_alone():
    law = LAW._replace(d=10, noisy=True)
    clean = arrays(law=law, n=5_000)["x"]
    noisy = arrays(TABLE._replace(sigma=0.05), law, 5_000)["x"]
    noise = (noisy - clean)[:8] / 0.05
    assert scipy.stats.kstest(noise.ravel(), "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(noise) - np.eye(8)).max() < 0.06
    # Nor does it know anything of the sample that it is added to.
    both = np.corrcoef(noise, scipy.special.logit(clean[:8]))
    assert np.abs(both[:8, 8:]).max() < 0.06
    assert not np.any(noisy[8:])
    np.testing.assert_array_equal(arrays(law=LAW._replace(d=10), n=5_000)["x"], clean)


def test_evaluation_is_fresh_samples_of_the_same_manifold():
    train, fresh = arrays()["x"], arrays(split="eval")["x"]
    assert rank(np.concatenate([train, fresh], axis=1)) == 3
    assert not set(map(tuple, train.T)) & set(map(tuple, fresh.T))
    other = arrays(TABLE._replace(seed=8))["x"]
    assert rank(np.concatenate([train, other], axis=1)) > 3


@pytest.mark.parametrize("condition", ["identity", "random"])
def test_condition_tells_t_coordinates(condition):
    law = LAW._replace(condition=condition, c=3)
    for t in (1, 2, 3):
        made = arrays(TABLE._replace(t=t), law)
        np.testing.assert_array_equal(made["x"], arrays()["x"])  # x does not depend on t
        assert not np.any(made["c"][t:])
        assert np.linalg.matrix_rank(made["c"]) == t
        # A linear map of r coordinates: c explains x in full where t = r, else in part.
        left = residual(scipy.special.logit(made["x"]), made["c"][:t])
        assert (left < 1e-3) == (t == 3)
    assert "c" not in arrays()


def test_random_condition_is_a_map_of_the_identity_one():
    two = TABLE._replace(t=2)
    plain = arrays(two, LAW._replace(c=2))["c"]
    mixed = arrays(two, LAW._replace(c=2, condition="random"))["c"]
    assert residual(mixed, plain) < 1e-4
    assert np.abs(mixed - plain).max() > 0.1
    again = arrays(two, LAW._replace(c=2, condition="random"), split="eval")["c"]
    fit = np.linalg.lstsq(plain.T, mixed.T, rcond=None)[0]
    fresh = arrays(two, LAW._replace(c=2), split="eval")["c"]
    np.testing.assert_allclose(fit.T @ fresh, again, rtol=1e-3, atol=1e-3)


def test_conditions_do_not_depend_on_padding():
    law = LAW._replace(c=2, condition="random")
    narrow = arrays(TABLE._replace(t=2), law)
    wide = arrays(TABLE._replace(t=2), law._replace(d=11, r=6, c=5))
    np.testing.assert_allclose(wide["x"][:8], narrow["x"], rtol=1e-5)
    np.testing.assert_allclose(wide["c"][:2], narrow["c"], rtol=1e-5, atol=1e-6)
    assert not np.any(wide["c"][2:])


def test_tables_of_several_sets_make_what_each_would_make_alone():
    """One program makes all data sets of a group, from numbers that it does not know."""
    law = LAW._replace(d=9, r=4, c=2, noisy=True)
    tables = [Table(7, 8, 3, 1, 0.1), Table(2**31 - 1, 5, 1, 1, 1e-3)]
    stacked = stack_tables(tables)
    assert {name: column.dtype for name, column in stacked._asdict().items()} == {
        **dict.fromkeys(("seed", "d", "r", "t"), np.uint32),
        "sigma": np.float32,
    }

    def make(table):
        return KIND.make(law, table, 40, "train", None)

    together = jax.jit(jax.vmap(make))(stacked)
    for i, table in enumerate(tables):
        alone = jax.jit(lambda table=table: make(table))()
        for name in ("x", "c"):
            np.testing.assert_allclose(together[name][i], alone[name], rtol=1e-5, atol=1e-6)


SETTINGS = Manifold(kind="manifold", d=8, r=3, t=2, sigma=0.5, n_train=70, n_eval=30)


def test_what_settings_say_of_their_data():
    assert KIND.sizes(SETTINGS, True) == DataSizes(8, 2, 3, ())
    assert KIND.sizes(SETTINGS, False) == DataSizes(8, 0, 3, ())
    assert KIND.samples(SETTINGS) == (70, 30)
    assert KIND.parts(SETTINGS) == (Part(value=2, dimension=3, told=2, noise=0.5),)
    assert KIND.table(SETTINGS, 4) == Table(4, 8, 3, 2, 0.5)
    quiet = Manifold(kind="manifold", d=5, r=2, condition="random", preset="paper")
    sizes = Sizes(kappa=9, d=8, c=2, r=3)
    assert KIND.law([SETTINGS], sizes) == Law("identity", "authors", 8, 3, 2, noisy=True)
    assert KIND.law([quiet], sizes) == Law("random", "paper", 8, 3, 2, noisy=False)
    assert KIND.law([quiet, SETTINGS], sizes).noisy


def test_arrays_have_the_shapes_that_are_stated():
    sizes = Sizes(kappa=9, d=10, c=3, r=4)
    for told in (sizes, sizes._replace(c=0)):
        made = arrays(KIND.table(SETTINGS, 4), KIND.law([SETTINGS], told), 20)
        shapes = {name: (*shape, 20) for name, shape in KIND.shapes(told).items()}
        assert {name: x.shape for name, x in made.items()} == shapes
