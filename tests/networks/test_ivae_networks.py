"""Networks of identifiable VAEs: the published sizes, who is told u, and what priors can be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import tiny_dict

from mdvae.networks import ivae_conv, ivae_mlp
from mdvae.settings.config import resolve
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import Sizes, make_cells

VECTORS = Sizes(3, 6, 2, 0)
SPRITES = Sizes(30, 4096, 5, 0, (64, 64, 1))
SMALL = ivae_conv.IVAEConv(channels=2, dense=5, decoder_dense=4, prior_hidden=(3,))


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_the_published_networks_have_as_many_parameters():
    networks = ivae_conv.make(ivae_conv.IVAEConv(), SPRITES)
    params, _ = jax.eval_shape(networks.init, jax.random.key(0))
    found = {name: count(params[name]) for name in ("encoder", "decoder", "prior")}
    assert found == {"encoder": 326_214, "decoder": 386_433, "prior": 6_930}


def batch_of(sizes, n=4):
    keys = jax.random.split(jax.random.key(3))
    if sizes.shape:
        x = jax.random.bernoulli(keys[0], 0.3, (n, *sizes.shape)).astype(jnp.float32)
        return {"x": x, "c": jax.random.uniform(keys[1], (n, sizes.c))}
    return {
        "x": jax.random.uniform(keys[0], (sizes.d, n)),
        "c": jax.random.uniform(keys[1], (sizes.c, n)),
    }


@pytest.mark.parametrize(
    ("networks", "sizes", "told"),
    [
        (ivae_mlp.make(ivae_mlp.IVAEMLP(encoder_input="raw"), VECTORS), VECTORS, False),
        (
            ivae_mlp.make(ivae_mlp.IVAEMLP(encoder_input="raw", decoder_told=True), VECTORS),
            VECTORS,
            True,
        ),
        pytest.param(ivae_conv.make(SMALL, SPRITES), SPRITES, False, marks=pytest.mark.long),
    ],
    ids=["mlp", "mlp told", "conv"],
)
def test_u_is_told_to_encoder_and_prior_and_to_a_decoder_if_asked_for(networks, sizes, told):
    params, stats = networks.init(jax.random.key(0))
    batch = batch_of(sizes)
    other = {**batch, "c": batch["c"] + 0.5}
    z = jax.random.normal(jax.random.key(1), (sizes.kappa, 4))
    x_hat, again = (networks.decode(params, stats, z, each, False)[0] for each in (batch, other))
    assert x_hat.shape == batch["x"].shape
    assert np.all((x_hat > 0) & (x_hat < 1))
    assert np.array_equal(x_hat, again) == (not told)
    means = [networks.encode(params, stats, each, False)[0].mean for each in (batch, other)]
    assert np.abs(np.asarray(means[0]) - np.asarray(means[1])).max() > 1e-4
    priors = [np.asarray(networks.prior(params, each).logvar) for each in (batch, other)]
    assert np.abs(priors[0] - priors[1]).max() > 1e-4


@pytest.mark.parametrize("prior", ["variance", "both", "mean", "standard"])
def test_a_prior_is_the_mlp_that_it_says(prior):
    settings = ivae_mlp.IVAEMLP(prior=prior, prior_hidden=(4,), encoder_input="raw")
    networks = ivae_mlp.make(settings, VECTORS)
    params, _ = networks.init(jax.random.key(0))
    if prior == "standard":
        assert networks.prior is None
        assert "prior" not in params
        return
    batch = batch_of(VECTORS)
    found = networks.prior(params, batch)
    first, heads = params["prior"]["Linear_0"], params["prior"]["heads"]
    h = first["kernel"].T @ batch["c"] + first["bias"][:, None]
    h = np.where(h > 0, h, 0.1 * h)
    made = np.einsum("hok,hb->okb", heads["kernel"], h) + heads["bias"][..., None]
    assert len(made) == (2 if prior == "both" else 1)
    mean = np.zeros_like(made[0]) if prior == "variance" else made[0]
    logvar = np.zeros_like(made[0]) if prior == "mean" else made[-1]
    np.testing.assert_allclose(found.mean, mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.logvar, logvar, rtol=1e-4, atol=1e-6)


@pytest.mark.long
def test_kernels_start_by_glorots_law():
    params, _ = ivae_conv.make(ivae_conv.IVAEConv(), SPRITES).init(jax.random.key(0))
    encoder = params["encoder"]
    for kernel, inputs, outputs in (
        (encoder["Conv_1"]["kernel"], 16 * 32, 16 * 32),
        (encoder["Linear_0"]["kernel"], 1029, 261),
        (encoder["condition"]["kernel"], 1029, 261),
        (encoder["heads"]["kernel"], 261, 30),
    ):
        bound = np.sqrt(6 / (inputs + outputs))
        assert np.abs(kernel).max() <= bound
        assert np.std(kernel) == pytest.approx(bound / np.sqrt(3), rel=0.05)
    assert not np.any(encoder["Conv_1"]["bias"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"method": "vae", "networks": "ivae_mlp"}, "networks.kind: 'ivae_mlp' needs a condition"),
        ({"networks": "ivae_mlp", "hidden": ()}, "networks.hidden: () is not usable beside u"),
        ({"networks": "ivae_conv"}, "networks.kind: 'ivae_conv' has no use for data.kind"),
        (
            {"data": "dsprites", "networks": "ivae_conv", "covariance": "full"},
            "networks.covariance: 'full' is not usable with networks.kind 'ivae_conv'",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(fields, message):
    grid = {"kappa": (3,), "d": (5,), "r": (3,), "t": (2,)}
    if fields.get("data") == "dsprites":
        grid, fields = {"kappa": (3,)}, {**fields, "n_train": 100}
    with pytest.raises(ConfigError) as error:
        make_cells(resolve(tiny_dict(grid, **{"method": "ivae", **fields})))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
