"""Data of a manifold within another: ranks, shares, and what padding does not change."""

import geometry
import numpy as np
import pytest
from conftest import tiny_dict
from geometry import rank

from mdvae.data.base import DataSizes
from mdvae.data.nested import Law, Nested, Table
from mdvae.settings.config import resolve
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import Part, make_cells
from mdvae.settings.registry import DATA

KIND = DATA.find("nested")
TABLE = Table(seed=7, d=8, r=4, inner=2, share=0.3)
LAW = Law(d=8, r=4, c=2, preset="authors")


def arrays(table=TABLE, law=LAW, n=600, split="train", part=None):
    return geometry.arrays(KIND, law, table, n, split, part)


def test_one_manifold_lies_within_the_other():
    inner, whole = (arrays(part=k, split="eval")["x"] for k in (0, 1))
    assert rank(inner) == 2
    assert rank(whole) == 4
    assert rank(np.concatenate([inner, whole], axis=1)) == 4


def test_a_share_of_the_samples_needs_all_coordinates():
    made = arrays(n=4_000)
    np.testing.assert_array_equal(made["c"].sum(axis=0), 1.0)
    of_whole = made["c"][1] == 1
    assert np.mean(of_whole) == pytest.approx(0.3, abs=0.03)
    assert rank(made["x"][:, of_whole]) == 4
    assert rank(made["x"][:, ~of_whole]) == 2
    fresh = arrays(n=4_000, split="eval")
    assert np.mean(fresh["c"][1]) == pytest.approx(0.3, abs=0.03)
    assert not np.array_equal(fresh["c"], made["c"])


def test_it_does_not_depend_on_padding_nor_on_who_is_told():
    narrow, wide = arrays(), arrays(law=LAW._replace(d=9, r=6))
    np.testing.assert_allclose(wide["x"][:8], narrow["x"], rtol=1e-5)
    np.testing.assert_array_equal(wide["c"], narrow["c"])
    assert not np.any(wide["x"][8:])
    untold = arrays(law=LAW._replace(c=0))
    assert set(untold) == {"x"}
    np.testing.assert_array_equal(untold["x"], narrow["x"])


def test_what_settings_say_of_their_data():
    settings = Nested(kind="nested", d=8, r=4, inner=2, share=0.3, n_train=90, n_eval=30)
    assert KIND.sizes(settings, True) == DataSizes(8, 2, 4)
    assert KIND.sizes(settings, False) == DataSizes(8, 0, 4)
    assert KIND.parts(settings) == (Part(0, 2, share=0.7), Part(1, 4, share=0.3))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"inner": 3}, "data.inner: 3 is not usable with r = 3"),
        ({"share": 1.0}, "data.share: 1.0 is not usable"),
    ],
)
def test_what_is_no_manifold_within_another_is_refused(fields, message):
    grid = {"kappa": (3,), "d": (5,), "r": (3,)}
    with pytest.raises(ConfigError) as error:
        make_cells(resolve(tiny_dict(grid, data="nested", **fields)))
    assert message in str(error.value)
