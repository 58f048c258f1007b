"""Recurrent networks: against LSTMs in NumPy, causality, the shared prior, sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdvae.networks.lstm import LSTM, lstm_networks
from mdvae.settings.grid import Sizes

KAPPA, D, N = 3, 4, 5


def settings_of(**fields):
    return LSTM(kind="lstm", kappa=KAPPA, **{"hidden": (6,), **fields})


def networks_of(past, points, **fields):
    return lstm_networks(
        settings_of(**fields), Sizes(KAPPA, D, D * bool(past), 2, (), past, points)
    )


def batch_of(past, points, seed=0):
    x = np.random.default_rng(seed).normal(size=(past + points, D, N)).astype(np.float32)
    return {"x": jnp.asarray(x[past:]), **({"c": jnp.asarray(x[:past])} if past else {})}


def whole(batch):
    return np.concatenate([batch[name] for name in ("c", "x") if name in batch]).astype(np.float64)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def recurrent(params, x_TDB):
    """Hidden states after each point, [T, hidden, B], by the textbook's equations."""
    for name in sorted(params):
        cell = params[name]
        width = cell["hi"]["kernel"].shape[0]
        h = s = np.zeros((width, x_TDB.shape[-1]))
        outputs = []
        for x in x_TDB:
            gate = {
                g: cell[f"i{g}"]["kernel"].T @ x
                + cell[f"h{g}"]["kernel"].T @ h
                + np.asarray(cell[f"h{g}"]["bias"])[:, None]
                for g in "ifgo"
            }
            s = sigmoid(gate["f"]) * s + sigmoid(gate["i"]) * np.tanh(gate["g"])
            h = sigmoid(gate["o"]) * np.tanh(s)
            outputs.append(h)
        x_TDB = np.array(outputs)
    return x_TDB


def cells_of(params):
    """The params of the cells of a stack, in order, by name."""
    return params["Recurrent_0"]


def heads(params, h_HB, x_DB):
    own = params["heads"]
    if "kernel" in own:
        return np.einsum("hik,hb->ikb", own["kernel"], h_HB) + own["bias"][:, :, None]
    of_x = np.einsum("dik,db->ikb", own["input"]["kernel"], x_DB)
    of_h = np.einsum("hik,hb->ikb", own["condition"]["kernel"], h_HB)
    return of_x + of_h + own["input"]["bias"][:, :, None]


@pytest.mark.parametrize(("hidden", "skip"), [((6,), True), ((6, 5), False)])
def test_networks_are_those_of_the_equations(hidden, skip):
    networks = networks_of(2, 3, hidden=hidden, skip=skip, decoder_hidden=(7,), activation="tanh")
    params, _ = networks.init(jax.random.key(0))
    batch = batch_of(2, 3)
    x = whole(batch)
    posterior, _ = networks.encode(params, {}, batch, False)
    h = recurrent(cells_of(params["encoder"]), x)[2:]
    points = zip(h, x[2:], strict=True)
    expected = np.concatenate([heads(params["encoder"], *each) for each in points], axis=-1)
    np.testing.assert_allclose(posterior.mean, expected[0], atol=2e-6)
    np.testing.assert_allclose(posterior.logvar, expected[1], atol=2e-6)
    prior = networks.prior(params, batch)
    h = recurrent(cells_of(params["prior"]), x)[1:-1]
    points = zip(h, x[1:-1], strict=True)
    expected = np.concatenate([heads(params["prior"], *each) for each in points], axis=-1)
    np.testing.assert_allclose(prior.mean, expected[0], atol=2e-6)
    z = np.random.default_rng(1).normal(size=(KAPPA, 3 * N)).astype(np.float32)
    x_hat, _ = networks.decode(params, {}, jnp.asarray(z), batch, False)
    own = params["decoder"]
    h = np.concatenate(list(recurrent(cells_of(own), x)[1:-1]), axis=-1)
    joint = own["joint"]
    hidden_7B = np.tanh(
        joint["input"]["kernel"].T @ z
        + np.asarray(joint["input"]["bias"])[:, None]
        + joint["condition"]["kernel"].T @ h
    )
    y = own["Linear_0"]["kernel"].T @ hidden_7B + np.asarray(own["Linear_0"]["bias"])[:, None]
    np.testing.assert_allclose(x_hat, y.reshape(D, 3, N).swapaxes(0, 1), atol=3e-6)


def test_points_are_told_of_those_before_them_alone():
    networks = networks_of(0, 4)
    params, _ = networks.init(jax.random.key(0))
    z = jnp.ones((KAPPA, 4 * N))

    def found(batch):
        posterior, _ = networks.encode(params, {}, batch, False)
        prior = networks.prior(params, batch)
        x_hat, _ = networks.decode(params, {}, z, batch, False)
        by_point = [each.reshape(-1, 4, N) for each in (*posterior, *prior)]
        return [*(np.moveaxis(each, 1, 0) for each in by_point), np.asarray(x_hat)]

    first = batch_of(0, 4)
    changed = {"x": first["x"].at[2].add(1.0)}
    for i, (a, b) in enumerate(zip(found(first), found(changed), strict=True)):
        same = [bool(np.array_equal(p, q)) for p, q in zip(a, b, strict=True)]
        # The encoder sees point 2 itself; the prior and the decoder from the next one on.
        assert same == ([True, True, False, False] if i < 2 else [True, True, True, False])


@pytest.mark.parametrize("skip", [False, True])
def test_a_shared_prior_is_the_encoder_one_point_earlier(skip):
    networks = networks_of(0, 4, prior="shared", skip=skip)
    params, _ = networks.init(jax.random.key(0))
    assert sorted(params) == ["decoder", "encoder"]
    batch = batch_of(0, 4)
    posterior, _ = networks.encode(params, {}, batch, False)
    prior = networks.prior(params, batch)
    for q, p in zip(posterior, prior, strict=True):
        np.testing.assert_allclose(
            q.reshape(KAPPA, 4, N)[:, :-1], p.reshape(KAPPA, 4, N)[:, 1:], rtol=1e-6
        )
        # Before anything is known it is the same for all.
        first = p.reshape(KAPPA, 4, N)[:, 0]
        np.testing.assert_array_equal(first, np.repeat(first[:, :1], N, axis=1))
    assert networks.twice == ()
    assert networks_of(0, 4, prior="shared", shared_updates="twice").twice == ("encoder",)
    assert networks_of(0, 4, shared_updates="twice").twice == ()
    assert networks_of(0, 4, prior="standard").prior is None


def test_params_do_not_depend_on_how_many_points_there_are():
    shapes = [
        jax.tree.map(jnp.shape, networks_of(past, points).init(jax.random.key(3))[0])
        for past, points in ((5, 1), (0, 6), (0, 2), (2, 9))
    ]
    assert all(each == shapes[0] for each in shapes)


def test_numbers_of_parameters_are_the_published_ones():
    """PyTorch has a second bias in each cell, which adds to the first."""
    sizes = Sizes(20, 20, 20, 10, (), 5, 1)
    settings = LSTM(kind="lstm", kappa=20)
    params, _ = lstm_networks(settings, sizes).init(jax.random.key(0))
    count = {name: sum(leaf.size for leaf in jax.tree.leaves(own)) for name, own in params.items()}
    cell = 4 * 32 * (20 + 32 + 1)
    assert count["encoder"] == count["prior"] == cell + 2 * 20 * (32 + 1)
    assert count["decoder"] == cell + 20 * (20 + 32 + 1)
    # Drawn as PyTorch draws them: uniform on +-1/sqrt(32).
    leaves = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params["encoder"])])
    assert 0.17 < np.abs(leaves).max() <= 32**-0.5
    assert leaves.std() == pytest.approx((32 * 3) ** -0.5, rel=0.03)
