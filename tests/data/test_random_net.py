"""Data of a random network: its law, independence of padding, and the dimension that it has."""

import functools

import jax
import numpy as np
import pytest

from mdvae.analysis import theory
from mdvae.data.base import DataSizes, stack_tables
from mdvae.data.random_net import Law, Net, RandomNet, Table, apply_net, draw_net
from mdvae.networks.base import out_of_reach
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import Part, Sizes, make_cells
from mdvae.settings.registry import DATA

KIND = DATA.find("random_net")
TABLE = Table(seed=3, d=9, r=3, net_slope=0.2, net_bias=0.0)
LAW = Law(net_width=16, net_layers=2, net_output="linear", d=9, r=3)
# One hidden layer, its outputs rectified, and biases.
OTHER, BIASED = LAW._replace(net_layers=1, net_output="leaky"), TABLE._replace(net_bias=0.4)
# The published network, of the smaller of the two published r.
PUBLISHED = Law(128, 2, "linear", d=64, r=8)
N = 10_000


@functools.partial(jax.jit, static_argnames=("law", "split"))
def made(table, law, split):
    return draw_net(table, law), KIND.make(law, table, N, split, None)["x"]


def drawn(table=TABLE, law=LAW, split="train"):
    """The network and samples of one data set; its table is traced, as in a sweep."""
    own = jax.tree.map(lambda column: column[0], stack_tables([table]))
    return jax.tree.map(lambda x: np.asarray(x, np.float64), made(own, law, split))


def forward(net: Net, z, slope, output):
    """A forward pass in NumPy, double precision, and the Jacobian dx/dz at each sample."""
    x, jacobian = z, np.broadcast_to(np.eye(len(z)), (z.shape[1], len(z), len(z)))
    for layer, (weights, bias) in enumerate(zip(net.kernels, net.biases, strict=True)):
        x = weights @ x + bias[:, None]
        jacobian = weights @ jacobian
        if output == "leaky" or layer < len(net.kernels) - 1:
            factor = np.where(x >= 0, 1.0, slope)
            x, jacobian = factor * x, factor.T[:, :, None] * jacobian
    return x, jacobian


@pytest.mark.parametrize(("law", "table"), [(LAW, TABLE), (OTHER, BIASED)])
def test_samples_have_the_moments_of_the_network_of_normal_z(law, table):
    """Against a NumPy forward pass of the same weights on other draws of z."""
    net, found = drawn(table, law)
    assert len(net.kernels) == len(net.biases) == law.net_layers + 1
    assert all(np.any(each) == (table.net_bias > 0) for each in net.biases)
    z = np.random.default_rng(0).standard_normal((3, N))
    wanted, _ = forward(net, z, 0.2, law.net_output)
    x = apply_net(net, z, 0.2, law.net_output)
    np.testing.assert_allclose(x, wanted, rtol=1e-4, atol=1e-5)
    error = wanted.std(axis=1) * np.sqrt(2.0 / N)
    assert np.all(np.abs(found.mean(axis=1) - wanted.mean(axis=1)) < 4.5 * error)
    scale = np.sqrt(np.outer(wanted.var(axis=1), wanted.var(axis=1)))
    assert np.all(np.abs(np.cov(found) - np.cov(wanted)) < 0.12 * scale)


def test_x_is_of_order_one_for_a_published_network():
    table = TABLE._replace(d=64, r=8)
    sets = [drawn(table._replace(seed=seed), PUBLISHED)[1] for seed in range(8)]
    squares = [(x**2).mean() for x in sets]
    # 1 is a mean over the weights, of which a network has many.
    assert np.mean(squares) == pytest.approx(1.0, abs=0.12)
    assert np.ptp(squares) < 0.5
    assert 0.5 < sets[0].var(axis=1).mean() < 0.8


@pytest.mark.parametrize(("law", "table"), [(LAW, TABLE), (OTHER, BIASED)])
def test_without_biases_a_scale_of_z_is_a_scale_of_x(law, table):
    net, _ = drawn(table, law)
    z = np.random.default_rng(1).standard_normal((3, 20))
    (wide, _), (plain, _) = (forward(net, a * z, 0.2, law.net_output) for a in (7, 1))
    assert (np.abs(wide - 7 * plain).max() < 1e-6) == (table.net_bias == 0)


@pytest.mark.parametrize("output", ["linear", "leaky"])
def test_the_jacobian_has_rank_r_everywhere(output):
    """And samples are apart where their z are: leaky ReLU loses nothing."""
    net, _ = drawn(TABLE._replace(d=64, r=8), PUBLISHED)
    z = np.random.default_rng(2).standard_normal((8, 100))
    x, jacobian = forward(net, z, 0.2, output)
    singular = np.linalg.svd(jacobian, compute_uv=False)
    assert singular.shape == (100, 8)
    assert np.all(singular[:, -1] > 0.03 * singular[:, 0])
    stretch = np.linalg.norm(x[:, ::2] - x[:, 1::2], axis=0)
    assert np.all(stretch > 0.1 * np.linalg.norm(z[:, ::2] - z[:, 1::2], axis=0))
    # The derivative once more, by differences along one z; a kink may be within one.
    step = 1e-6
    moved, _ = forward(net, z + step * np.eye(8)[:, 4:5], 0.2, output)
    right = np.isclose((moved - x).T / step, jacobian[:, :, 4], rtol=1e-3, atol=1e-5).all(axis=1)
    assert right.mean() > 0.95


def test_padding_changes_no_value():
    _, wide = drawn(law=LAW._replace(d=14, r=7))
    np.testing.assert_allclose(wide[:9], drawn()[1], rtol=1e-5, atol=1e-6)
    assert not np.any(wide[9:])
    _, wide = drawn(BIASED, OTHER._replace(d=14, r=7))
    np.testing.assert_allclose(wide[:9], drawn(BIASED, OTHER)[1], rtol=1e-5, atol=1e-6)
    assert not np.any(wide[9:])


def test_tables_of_several_sets_make_what_each_would_make_alone():
    tables = [TABLE, Table(2**31 - 1, d=6, r=1, net_slope=0.5, net_bias=0.2)]
    together = jax.vmap(lambda table: made(table, LAW, "train")[1])(stack_tables(tables))
    for found, table in zip(together, tables, strict=True):
        np.testing.assert_allclose(found, drawn(table)[1], rtol=1e-5, atol=1e-6)


def test_seeds_have_networks_of_their_own_and_evaluation_has_fresh_samples():
    (net, train), (same, fresh) = drawn(), drawn(split="eval")
    jax.tree.map(np.testing.assert_array_equal, net, same)
    assert not set(map(tuple, train.T)) & set(map(tuple, fresh.T))
    # The same law, which other networks' are not.
    assert np.abs(np.cov(train) - np.cov(fresh)).max() < 0.1
    for change in ({"seed": 4}, {"d": 8}, {"r": 2}):
        other, _ = drawn(TABLE._replace(**change))
        assert not np.allclose(other.kernels[1], net.kernels[1], atol=0.5)


def test_a_slope_changes_the_function_and_not_the_weights():
    """But for He's gain, which depends on it."""
    (net, _), (steep, _) = drawn(), drawn(TABLE._replace(net_slope=0.5))
    wanted = np.sqrt(1.25 / 1.04), np.sqrt(1.25 / 1.04), 1.0
    for one, two, ratio in zip(net.kernels, steep.kernels, wanted, strict=True):
        np.testing.assert_allclose(one / two, ratio, rtol=1e-5)


SETTINGS = RandomNet(kind="random_net", d=8, r=3, n_train=70, n_eval=30)


def test_what_settings_say_of_their_data():
    assert KIND.sizes(SETTINGS, True) == KIND.sizes(SETTINGS, False) == DataSizes(8, 0, 3)
    assert KIND.samples(SETTINGS) == (70, 30)
    assert KIND.parts(SETTINGS) == (Part(dimension=3),)
    assert KIND.table(SETTINGS, 4) == Table(4, 8, 3, 0.2, 0.0)
    assert KIND.law([SETTINGS], Sizes(kappa=9, d=64, c=0, r=8)) == PUBLISHED


def test_theory_expects_r_active_dimensions(tiny):
    narrow, wide = make_cells(tiny({"kappa": (2, 6), "d": (8,), "r": (3,)}, data="random_net"))
    assert theory.manifold_dimension(wide) == theory.expected_ad(wide) == 3
    assert theory.expected_ad(narrow) == 2
    assert theory.in_theorem(wide)
    assert not theory.in_theorem(narrow)
    assert theory.dimension(wide) == 3
    (full,) = make_cells(tiny({"kappa": (6,), "d": (3,), "r": (3,)}, data="random_net"))
    assert theory.fills_space(full)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"grid": {"kappa": (3,), "d": (6,), "r": (7,)}}, r"grid\.r: 7 is more than d = 6"),
        ({"net_width": 1}, r"grid\.r: 2 is more than net_width = 1; what goes through layers of 1"),
        ({"net_slope": 1}, r"data\.net_slope: 1\.0 is not usable; it must be a fraction between 0"),
        (
            {"net_output": "relu"},
            r"data\.net_output: 'relu' is not usable; it must be one of linear",
        ),
        ({"model": "cvae"}, r"method\.model: 'cvae' has no effect: these data have no condition"),
    ],
)
def test_mistakes_are_one_line(tiny, fields, message):
    with pytest.raises(ConfigError, match=message):
        make_cells(tiny(data="random_net", **fields))


def test_a_decoder_that_ends_in_a_sigmoid_is_warned_of(tiny):
    (cell, _) = make_cells(tiny(data="random_net"))
    assert "set networks.output to 'linear'" in out_of_reach(cell)
    (cell, _) = make_cells(tiny(data="random_net", output="linear"))
    assert out_of_reach(cell) == ""
