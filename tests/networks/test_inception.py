"""The Inception of the FID: its size, its shapes, its pools and its scaling, against PyTorch."""

import jax
import numpy as np
import pytest

from mdvae.networks import inception
from mdvae.networks.inception import CONVOLUTIONS, NETWORK, pool3, prepared

torch = pytest.importorskip("torch")


def test_the_network_is_as_large_as_inception():
    """94 convolutions, and as many numbers as Inception v3 has before its last layer."""
    assert len(CONVOLUTIONS) == 94
    numbers = sum(np.prod(shape) + 2 * shape[-1] for shape in CONVOLUTIONS.values())
    assert numbers == 21_785_568
    joined = jax.eval_shape(
        pool3,
        {
            name: jax.ShapeDtypeStruct(shape, np.float32)
            for name, shape in inception.shapes().items()
        },
        jax.ShapeDtypeStruct((2, 75, 75, 3), np.float32),
    )
    assert joined.shape == (2, 2048)


@pytest.mark.parametrize(
    ("steps", "channels", "side"),
    [(NETWORK[:3], 3, 9), (NETWORK[7:8], 192, 5), (NETWORK[10:12], 288, 9), (NETWORK[15:], 768, 7)],
    ids=["beginning", "A", "B and C", "D and E"],
)
def test_shapes_of_blocks(steps, channels, side):
    kernels = dict(inception._kernels(steps, channels))
    shapes = {}
    for name, shape in kernels.items():
        shapes[f"{name}.kernel"] = jax.ShapeDtypeStruct(shape, np.float32)
        shapes[f"{name}.bias"] = jax.ShapeDtypeStruct(shape[-1:], np.float32)
    x = jax.ShapeDtypeStruct((1, side, side, channels), np.float32)
    made = jax.eval_shape(lambda weights, x: inception._run(steps, weights, x), shapes, x)
    expected = {9: (4, 32) if channels == 3 else (4, 768), 5: (5, 256), 7: (3, 2048)}
    if channels == 3:
        expected[9] = (2, 64)
    assert made.shape == (1, expected[side][0], expected[side][0], expected[side][1])


def test_pools_against_pytorch():
    x = np.random.default_rng(0).normal(size=(2, 6, 7, 3)).astype(np.float32)
    F, x_torch = torch.nn.functional, torch.from_numpy(x.transpose(0, 3, 1, 2))
    expected = {
        inception.average: F.avg_pool2d(x_torch, 3, 1, 1, count_include_pad=False),
        inception.maximum: F.max_pool2d(x_torch, 3, 1, 1),
        inception.halve: F.max_pool2d(x_torch, 3, 2),
    }
    for pool, found in expected.items():
        np.testing.assert_allclose(pool(x), found.numpy().transpose(0, 2, 3, 1), atol=1e-6)


@pytest.mark.parametrize("shape", [(28, 28, 1), (75, 110, 3), (299, 299, 1), (320, 400, 3)])
def test_scaling_against_pytorch(shape):
    x = np.random.default_rng(0).uniform(size=(2, *shape)).astype(np.float32)
    scaled = torch.nn.functional.interpolate(
        torch.from_numpy(x.transpose(0, 3, 1, 2)), (299, 299), mode="bilinear", align_corners=False
    )
    expected = 2.0 * np.broadcast_to(scaled.numpy().transpose(0, 2, 3, 1), (2, 299, 299, 3)) - 1.0
    np.testing.assert_allclose(prepared(x), expected, atol=2e-5)
