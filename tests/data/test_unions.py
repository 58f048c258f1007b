"""Data of a union of manifolds: classes of every dimension, evenly mixed."""

import geometry
import numpy as np
import pytest
from geometry import rank

from mdvae.data.base import DataSizes
from mdvae.data.manifolds import Law, Table
from mdvae.data.unions import Union
from mdvae.settings.grid import Part, Sizes
from mdvae.settings.registry import DATA

KIND = DATA.find("union")
TABLE = Table(seed=7, d=8, r=3, t=0, sigma=0.0)
LAW = Law("identity", "authors", d=8, r=3, c=3, noisy=False)


def arrays(table=TABLE, law=LAW, n=600, split="train", part=None):
    return geometry.arrays(KIND, law, table, n, split, part)


def test_union_has_classes_of_dimension_1_to_r():
    made = arrays(n=900)
    classes = np.argmax(made["c"], axis=0)
    np.testing.assert_array_equal(made["c"].sum(axis=0), 1.0)
    np.testing.assert_array_equal(np.bincount(classes), [300, 300, 300])
    for k in range(3):
        mine = made["x"][:, classes == k]
        assert rank(mine) == k + 1
        fresh = arrays(n=200, split="eval", part=k)
        assert np.all(np.argmax(fresh["c"], axis=0) == k)
        assert rank(np.concatenate([mine, fresh["x"]], axis=1)) == k + 1
    # Every window of consecutive samples has all classes equally often.
    np.testing.assert_array_equal(np.bincount(classes[17:47]), [10, 10, 10])


def test_union_does_not_depend_on_padding():
    narrow, wide = arrays(), arrays(law=LAW._replace(d=9, r=5, c=5))
    np.testing.assert_allclose(wide["x"][:8], narrow["x"], rtol=1e-5)
    np.testing.assert_array_equal(wide["c"][:3], narrow["c"])
    assert not np.any(wide["x"][8:])
    assert not np.any(wide["c"][3:])


def test_x_is_the_same_whether_networks_are_told_its_class():
    told, untold = arrays(n=90), arrays(law=LAW._replace(c=0), n=90)
    assert set(untold) == {"x"}
    np.testing.assert_array_equal(untold["x"], told["x"])


@pytest.mark.parametrize("sigma", [0.0, 0.5])
def test_what_settings_say_of_their_data(sigma):
    settings = Union(kind="union", d=8, r=3, sigma=sigma, n_train=90, n_eval=30)
    assert KIND.sizes(settings, True) == DataSizes(8, 3, 3, ())
    assert KIND.sizes(settings, False) == DataSizes(8, 0, 3, ())
    assert KIND.samples(settings) == (90, 30)
    assert KIND.parts(settings) == tuple(Part(k, k, 0, sigma) for k in (1, 2, 3))
    assert KIND.table(settings, 7) == TABLE._replace(sigma=sigma)
    law = KIND.law([settings], Sizes(kappa=4, d=8, c=3, r=3))
    assert law == LAW._replace(noisy=sigma > 0)
