"""The CPU's own convolutions against the compiler's, values and gradients; and their layout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from mdvae.networks import convolutions
from mdvae.networks.convolutions import (
    BLOCK,
    block_of,
    by_compiler,
    convolve,
    convolve_transposed,
    flatten,
    from_blocks,
    to_blocks,
    unflatten,
)

FEW, MANY = 3, convolutions.FEW_CHANNELS + 1


def images(batch, height, width, channels, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, height, width, channels))


def reference(x_NHWC, kernel, stride, padding):
    return lax.conv_general_dilated(
        x_NHWC,
        kernel,
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def reference_transposed(x_NHWC, kernel, stride, padding):
    """The gradient of a convolution in its images, by automatic differentiation."""
    n, height, width, _ = x_NHWC.shape
    rows, columns, _, outputs = kernel.shape
    tall = stride * (height - 1) + rows - 2 * padding
    wide = stride * (width - 1) + columns - 2 * padding
    zeros = jnp.zeros((n, tall, wide, outputs), x_NHWC.dtype)
    turned = jnp.swapaxes(kernel, 2, 3)
    return jax.vjp(lambda y: reference(y, turned, stride, padding), zeros)[1](x_NHWC)[0]


ONCE, TWICE = (convolve, reference), (convolve_transposed, reference_transposed)
CASES = {
    # size of the kernel, stride, padding, channels in and out, batch
    "few": (*ONCE, 3, 1, 1, FEW, 2, 5),
    "many": (*ONCE, 3, 1, 1, MANY, 2, 5),
    "halved": (*ONCE, 3, 2, 1, FEW, 2, 5),
    "halved, to many": (*ONCE, 3, 2, 1, 2, MANY, 5),
    "halved, even kernel": (*ONCE, 4, 2, 1, FEW, 2, 5),
    "shortcut": (*ONCE, 1, 2, 0, FEW, 2, 5),
    "transposed": (*TWICE, 4, 2, 1, FEW, 2, 5),
    "transposed, many": (*TWICE, 4, 2, 1, MANY, 1, 5),
    "transposed, odd kernel": (*TWICE, 3, 2, 0, FEW, 2, 5),
    "blocks": (*ONCE, 3, 2, 1, FEW, 2, 2 * BLOCK),
    "blocks, many": (*TWICE, 4, 2, 1, MANY, 2, 2 * BLOCK),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_values_and_gradients_are_the_compilers(case):
    own, known, size, stride, padding, channels, outputs, batch = case
    x = jnp.asarray(images(batch, 6, 8, channels), jnp.float32)
    kernel = jnp.asarray(images(size, size, channels, outputs, 1).reshape(size, size, channels, -1))
    kernel = kernel.astype(jnp.float32)

    def blocked(x, kernel):
        return from_blocks(own(to_blocks(x), kernel, stride, padding))

    def plain(x, kernel):
        return known(x, kernel, stride, padding)

    wanted, wanted_vjp = jax.vjp(plain, x, kernel)
    found, found_vjp = jax.vjp(jax.jit(blocked), x, kernel)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    weights = jnp.asarray(np.random.default_rng(2).normal(size=wanted.shape), jnp.float32)
    for mine, theirs in zip(found_vjp(weights), wanted_vjp(weights), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=3e-3)
    with by_compiler():
        np.testing.assert_allclose(jax.jit(blocked)(x, kernel), wanted, rtol=1e-4, atol=1e-4)


def test_many_channels_are_products_and_few_are_sums():
    def operations(channels):
        x = jnp.zeros((1, 6, 6, channels, 4))
        kernel = jnp.zeros((3, 3, channels, channels))
        return str(jax.make_jaxpr(lambda x: convolve(x, kernel, 1, 1))(x))

    assert "dot_general" not in operations(FEW)
    assert "dot_general" in operations(MANY)
    assert "conv_general_dilated" not in operations(FEW) + operations(MANY)


def test_double_precision_keeps_its_places():
    with jax.enable_x64(True):
        x = jnp.asarray(images(4, 4, 4, MANY))
        kernel = jnp.asarray(images(3, 3, MANY, 2, 1))
        found = from_blocks(convolve(to_blocks(x), kernel, 1, 1))
        assert found.dtype == jnp.float64
        np.testing.assert_allclose(found, reference(x, kernel, 1, 1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("batch", "block"), [(1, 1), (100, 100), (BLOCK, BLOCK), (512, BLOCK), (1000, 125), (521, 521)]
)
def test_blocks_are_parts_of_a_batch_that_are_not_tiny(batch, block):
    assert block_of(batch) == block
    with by_compiler():
        assert block_of(batch) == batch


@pytest.mark.parametrize("batch", [3, 2 * BLOCK])
def test_blocks_and_vectors_keep_every_sample(batch):
    x = images(batch, 2, 3, 4)
    blocks = to_blocks(jnp.asarray(x))
    np.testing.assert_array_equal(from_blocks(blocks), jnp.asarray(x))
    vectors = np.asarray(flatten(blocks))
    np.testing.assert_array_equal(vectors, np.asarray(jnp.asarray(x)).reshape(batch, -1).T)
    np.testing.assert_array_equal(unflatten(jnp.asarray(vectors).reshape(2, 3, 4, batch)), blocks)
