"""Data whose condition tells more of some samples than of others."""

import geometry
import numpy as np
from geometry import rank

from mdvae.data.base import DataSizes
from mdvae.data.manifolds import Law, Table
from mdvae.data.varying import VaryingT
from mdvae.settings.grid import Part, Sizes
from mdvae.settings.registry import DATA

KIND = DATA.find("varying_t")
TABLE = Table(seed=1, d=9, r=6, t=6, sigma=0.0)
LAW = Law("identity", "authors", d=9, r=6, c=6, noisy=False)


def arrays(table=TABLE, law=LAW, n=600, split="train", part=None):
    return geometry.arrays(KIND, law, table, n, split, part)


def test_varying_t_tells_as_many_coordinates_as_each_sample_has():
    made = arrays()
    told = np.count_nonzero(made["c"], axis=0)
    np.testing.assert_array_equal(np.bincount(told), [0, 0, 200, 0, 200, 0, 200])
    assert rank(made["x"]) == 6
    for part, t in enumerate((2, 4, 6)):
        fresh = arrays(n=50, split="eval", part=part)
        assert np.all(np.count_nonzero(fresh["c"], axis=0) == t)
        np.testing.assert_array_equal(fresh["x"], arrays(n=50, split="eval")["x"])


def test_what_is_told_is_what_a_manifold_would_tell():
    manifold = geometry.arrays(DATA.find("manifold"), LAW, TABLE, 60)
    made = arrays(n=60)
    np.testing.assert_array_equal(made["x"], manifold["x"])
    told = made["c"] != 0
    np.testing.assert_array_equal(made["c"][told], manifold["c"][told])


def test_conditions_do_not_depend_on_padding():
    table = TABLE._replace(t=4)
    narrow, wide = arrays(table, LAW._replace(c=4)), arrays(table, LAW._replace(d=11, r=7, c=6))
    np.testing.assert_allclose(wide["x"][:9], narrow["x"], rtol=1e-5)
    np.testing.assert_allclose(wide["c"][:4], narrow["c"], rtol=1e-5)
    assert not np.any(wide["c"][4:])
    assert set(arrays(table, LAW._replace(c=0), 20)) == {"x"}


def test_what_settings_say_of_their_data():
    settings = VaryingT(kind="varying_t", d=9, r=6, t=6, n_train=90, n_eval=30)
    assert KIND.sizes(settings, True) == DataSizes(9, 6, 6, ())
    assert KIND.sizes(settings, False) == DataSizes(9, 0, 6, ())
    assert KIND.samples(settings) == (90, 30)
    assert KIND.parts(settings) == tuple(Part(t, 6, t, 0.0) for t in (2, 4, 6))
    assert KIND.table(settings, 1) == TABLE
    assert KIND.law([settings], Sizes(kappa=4, d=9, c=6, r=6)) == LAW
