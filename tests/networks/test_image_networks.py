"""Networks on images: published layers, batch normalisation, spectral norms, full covariances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import tiny_dict

from mdvae.methods import distributions
from mdvae.networks import infogan, resnet, scale_blocks
from mdvae.networks.base import Diagonal, Full
from mdvae.networks.convolutions import by_compiler
from mdvae.networks.heads import GaussianHeads
from mdvae.networks.images import BatchNorm, Conv, ImageNetworks, rounded
from mdvae.networks.layers import STATS, Linear
from mdvae.settings.config import resolve
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import Sizes, make_cells
from mdvae.settings.registry import NETWORKS


def counts(networks):
    params, _ = jax.eval_shape(networks.init, jax.random.key(0))
    return [
        sum(leaf.size for leaf in jax.tree.leaves(params[name])) for name in ("encoder", "decoder")
    ]


def sizes(kappa, shape=(28, 28, 1), c=0):
    return Sizes(kappa, int(np.prod(shape)), c, 0, shape)


def test_the_published_networks_have_as_many_parameters():
    """Of CVAE-dims' public code: a VAE of 5 channels, a CVAE of 32, kappa = 32."""
    assert counts(resnet.make(resnet.ResNet(), sizes(32))) == [4_490, 9_437]
    wide = resnet.ResNet(channels=32)
    assert counts(resnet.make(wide, sizes(32, c=10))) == [82_348, 111_661]


@pytest.mark.parametrize(
    ("shape", "encoder", "decoder"),
    [
        ((28, 28, 1), 6_689_344, 6_642_241),
        ((32, 32, 3), 8_657_472, 8_616_131),
        ((64, 64, 3), 33_823_296, 33_855_683),
    ],
)
def test_infogan_has_as_many_parameters(shape, encoder, decoder):
    """Of TwoStage's public code, whose decoders count log gamma as one more."""
    assert counts(infogan.make(infogan.InfoGAN(), sizes(64, shape))) == [encoder, decoder]


def test_scale_blocks_have_as_many_parameters():
    """3.40 and 16.25 million of TwoStage's command for CelebA."""
    settings = scale_blocks.ScaleBlocks(channels=32)
    found = counts(scale_blocks.make(settings, sizes(128, (64, 64, 3))))
    assert [round(n / 1e6, 2) for n in found] == [3.40, 16.25]


@pytest.mark.parametrize(
    ("shape", "count"), [((28, 28, 1), 2), ((64, 64, 3), 5), ((32, 48, 1), 4), ((2, 2, 1), 0)]
)
def test_the_smallest_image_of_scale_blocks(shape, count):
    assert scale_blocks.halvings(shape) == count


def normalise(x, by_batch, variables=None):
    layer = BatchNorm(3, by_batch)
    variables = variables or layer.init(jax.random.key(0), x)
    return layer.apply(variables, x, mutable=[STATS])


def test_batch_normalisation_by_its_definition():
    x = jnp.asarray(np.random.default_rng(0).normal(2.0, 3.0, (2, 4, 5, 3, 6)), jnp.float32)
    y, changed = normalise(x, True)
    flat = np.moveaxis(np.asarray(x, np.float64), 3, 0).reshape(3, -1)
    mean, variance = flat.mean(axis=1), flat.var(axis=1)
    shape = (1, 1, 1, 3, 1)
    wanted = (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + 1e-5)
    np.testing.assert_allclose(y, wanted, atol=1e-5)
    stats = changed[STATS]
    np.testing.assert_allclose(stats["mean"], 0.1 * mean, rtol=1e-5)
    unbiased = flat.var(axis=1, ddof=1)
    np.testing.assert_allclose(stats["variance"], 0.9 + 0.1 * unbiased, rtol=1e-5)
    # By running statistics: another sample's output does not depend on the batch.
    variables = {"params": {"scale": jnp.ones(3), "shift": jnp.zeros(3)}, STATS: stats}
    one, kept = normalise(x[:1], False, variables)
    both, _ = normalise(x, False, variables)
    np.testing.assert_array_equal(one[0], both[0])
    jax.tree.map(np.testing.assert_array_equal, kept.get(STATS, stats), stats)


@pytest.mark.long
def test_statistics_move_in_training_alone_and_are_used_outside():
    networks = resnet.make(resnet.ResNet(channels=2, dense=4), sizes(3, (8, 8, 1)))
    params, stats = jax.jit(networks.init)(jax.random.key(0))
    batch = {"x": jnp.asarray(np.random.default_rng(0).uniform(size=(6, 8, 8, 1)), jnp.float32)}
    # Loops over places of an image are slow where every step is dispatched.
    encode = jax.jit(networks.encode, static_argnums=3)
    _, trained = encode(params, stats, batch, True)
    moved = [
        not np.array_equal(a, b)
        for a, b in zip(
            jax.tree.leaves(trained["encoder"]), jax.tree.leaves(stats["encoder"]), strict=True
        )
    ]
    assert all(moved)
    whole, same = encode(params, trained, batch, False)
    jax.tree.map(np.testing.assert_array_equal, same, trained)
    first, _ = encode(params, trained, {"x": batch["x"][:1]}, False)
    np.testing.assert_allclose(first.mean[:, 0], whole.mean[:, 0], atol=1e-6)
    published = resnet.make(
        resnet.ResNet(channels=2, dense=4, evaluation="batch"), sizes(3, (8, 8, 1))
    )
    by_batch, same = jax.jit(published.encode, static_argnums=3)(params, trained, batch, False)
    jax.tree.map(np.testing.assert_array_equal, same, trained)
    wanted, _ = encode(params, stats, batch, True)
    np.testing.assert_allclose(by_batch.mean, wanted.mean, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (Conv(4, size=3, spectral=True), np.ones((1, 4, 4, 3, 2), np.float32)),
        (Linear((2, 3), spectral=True), np.ones((5, 2), np.float32)),
    ],
)
def test_spectral_norms_become_those_of_numpy(layer, x):
    variables = layer.init(jax.random.key(1), jnp.asarray(x))
    kernel = np.asarray(variables["params"]["kernel"])
    features = np.asarray(variables[STATS]["u"]).shape
    largest = np.linalg.norm(kernel.reshape(-1, int(np.prod(features))), 2)
    step = jax.jit(lambda variables: layer.apply(variables, jnp.asarray(x), mutable=[STATS]))
    for _ in range(100):
        y, changed = step(variables)
        variables = {**variables, **changed}
    plain = type(layer)(layer.features, **({"size": 3} if isinstance(layer, Conv) else {}))
    bias = variables["params"].get("bias")
    zero = {"params": {"kernel": variables["params"]["kernel"] / largest}}
    if bias is not None:
        zero["params"]["bias"] = bias
    np.testing.assert_allclose(y, plain.apply(zero, jnp.asarray(x)), rtol=1e-4, atol=1e-5)


def test_a_full_covariance_starts_as_the_diagonal_one():
    h = jnp.asarray(np.random.default_rng(0).normal(size=(5, 7)), jnp.float32)
    full, diagonal = GaussianHeads(3, "full"), GaussianHeads(3)
    variables = full.init(jax.random.key(0), h)
    shared = {"params": {"heads": variables["params"]["heads"]}}
    posterior, plain = full.apply(variables, h), diagonal.apply(shared, h)
    assert isinstance(posterior, Full)
    assert isinstance(plain, Diagonal)
    np.testing.assert_allclose(distributions.kl(posterior), distributions.kl(plain), rtol=1e-5)
    kernel = jnp.asarray(np.random.default_rng(1).normal(size=(5, 3, 3)), jnp.float32)
    learned = {"params": {**variables["params"], "factor": kernel}}
    factor = np.asarray(full.apply(learned, h).factor)
    assert np.all(factor[np.triu_indices(3, 1)] == 0)
    assert np.abs(factor[np.tril_indices(3, -1)]).min() > 0


def test_bfloat16_rounds_and_keeps_the_dtype():
    x = jnp.asarray([1.0, 1.0 + 2.0**-9, 3.14159], jnp.float32)
    assert rounded(x, "float32") is x
    found = rounded(x, "bfloat16")
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found[:2], [1.0, 1.0])
    assert abs(float(found[2]) - 3.14159) > 1e-4


def test_bfloat16_is_what_the_compiler_multiplies_and_float32_what_it_adds():
    """Where convolutions are the compiler's; with the values and gradients of rounded factors."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 4, 4, 3, 2)), jnp.float32)
    short, plain = Conv(2, precision="bfloat16"), Conv(2)
    variables = short.init(jax.random.key(0), x)
    own = jax.jit(short.apply)(variables, x)
    with by_compiler():
        program = jax.make_jaxpr(short.apply)(variables, x)
        assert "preferred_element_type=float32" in str(program)
        assert "bf16" in str(program)
        assert "bf16" not in str(jax.make_jaxpr(plain.apply)(variables, x))
        found = jax.jit(short.apply)(variables, x)
        gradient = jax.jit(jax.grad(lambda v: jnp.sum(short.apply(v, x) ** 2)))(variables)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, own, rtol=1e-5, atol=1e-5)
    wanted = jax.jit(jax.grad(lambda v: jnp.sum(short.apply(v, x) ** 2)))(variables)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-2, atol=2e-2), gradient, wanted
    )


def test_networks_say_whether_samples_depend_on_each_other():
    kinds = {name: NETWORKS.find(name) for name in NETWORKS.names()}
    of_images = {k: v for k, v in kinds.items() if issubclass(v.settings, ImageNetworks)}
    assert set(of_images) == {"resnet", "infogan", "scale_blocks", "ivae_conv"}
    for name, kind in of_images.items():
        for evaluation in ("running", "batch"):
            settings = kind.settings(kind=name, evaluation=evaluation)
            assert kind.together(settings) == (evaluation == "batch")
    assert not kinds["mlp"].together(kinds["mlp"].settings(kind="mlp"))


def image_config(**changes):
    config = tiny_dict(data="images", networks=changes.pop("networks", "resnet"), **changes)
    config.data.n_train = 400
    config.grid = {"kappa": (3,)}
    return config


def test_what_does_not_go_together_is_refused_in_one_line():
    message = r"^networks.kind: 'resnet' has no use for data.kind 'manifold'; it needs images$"
    with pytest.raises(ConfigError, match=message):
        make_cells(resolve(tiny_dict(networks="resnet", **{"networks.dense": 4})))
    for field, value in (("prior", "learned"), ("attention", True)):
        with pytest.raises(ConfigError, match=f"^networks.{field}: .* has no effect on a VAE"):
            make_cells(resolve(image_config(**{f"networks.{field}": value})))


def test_images_that_cannot_be_halved_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(24_000).reshape(200, 10, 12).astype(np.uint8))
    config = image_config(**{"data.dataset": "file", "data.path": str(tmp_path / "x.npy")})
    config.data.update({"n_train": 0, "n_eval": 40})
    message = (
        "cannot halve images of 10 x 12 pixels often enough; both sides must be multiples of 4"
    )
    with pytest.raises(ConfigError, match=message):
        make_cells(resolve(config))
