"""The Inception v3 on whose features the FID is taken, as a pure function of folded weights.

The network is that of Szegedy et al. (2016) in the TensorFlow graph of 2015-12-05 which Heusel et
al. (2017) used. It differs from Inception v3 as it is usually written in three things: average
pools do not count the zeros around an image, the last block takes a maximum for its pool, and there
are 1,008 classes (not used here). Features are those of the third pool, 2,048 means over places.

Batch normalisation is folded into kernels and biases. Weights are a flat dict: to each of
CONVOLUTIONS a `NAME.kernel` [rows, columns, channels in, channels out] and a `NAME.bias`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

# Height and width that images are scaled to, and the number of features.
SIDE, WIDTH = 299, 2048
LAYOUT = ("NHWC", "HWIO", "NHWC")
WINDOW = (1, 3, 3, 1)


class Conv(NamedTuple):
    """A convolution, its bias and a ReLU; `pads` are zeros on either side of rows and columns."""

    name: str
    features: int
    size: tuple[int, int] = (1, 1)
    stride: int = 1
    pads: tuple[int, int] = (0, 0)


class Fork(NamedTuple):
    """Branches of the same input, whose channels are joined."""

    branches: tuple["Steps", ...]


Pool = Callable[[jax.Array], jax.Array]
Steps = tuple[Conv | Fork | Pool, ...]


def halve(x: jax.Array) -> jax.Array:
    """The maximum of 3 x 3 places, every second; no zeros around."""
    return lax.reduce_window(x, -jnp.inf, lax.max, WINDOW, (1, 2, 2, 1), "VALID")


def maximum(x: jax.Array) -> jax.Array:
    """The maximum of the 3 x 3 places around each."""
    return lax.reduce_window(x, -jnp.inf, lax.max, WINDOW, (1, 1, 1, 1), "SAME")


def average(x: jax.Array) -> jax.Array:
    """The mean of those of the 3 x 3 places around each that are inside the image."""

    def total(of: jax.Array) -> jax.Array:
        return lax.reduce_window(of, 0.0, lax.add, WINDOW, (1, 1, 1, 1), "SAME")

    return total(x) / total(jnp.ones((1, *x.shape[1:3], 1), x.dtype))


def _same(name: str, features: int, rows: int, columns: int) -> Conv:
    """A convolution that keeps height and width."""
    return Conv(name, features, (rows, columns), 1, (rows // 2, columns // 2))


def _halving(name: str, features: int) -> Conv:
    return Conv(name, features, (3, 3), 2)


def _block_a(name: str, pooled: int) -> Fork:
    """35 x 35 places."""
    return Fork(
        (
            (Conv(f"{name}.branch1x1", 64),),
            (Conv(f"{name}.branch5x5_1", 48), _same(f"{name}.branch5x5_2", 64, 5, 5)),
            (
                Conv(f"{name}.branch3x3dbl_1", 64),
                _same(f"{name}.branch3x3dbl_2", 96, 3, 3),
                _same(f"{name}.branch3x3dbl_3", 96, 3, 3),
            ),
            (average, Conv(f"{name}.branch_pool", pooled)),
        )
    )


def _block_b(name: str) -> Fork:
    """From 35 x 35 to 17 x 17 places."""
    return Fork(
        (
            (_halving(f"{name}.branch3x3", 384),),
            (
                Conv(f"{name}.branch3x3dbl_1", 64),
                _same(f"{name}.branch3x3dbl_2", 96, 3, 3),
                _halving(f"{name}.branch3x3dbl_3", 96),
            ),
            (halve,),
        )
    )


def _block_c(name: str, width: int) -> Fork:
    """17 x 17 places."""
    return Fork(
        (
            (Conv(f"{name}.branch1x1", 192),),
            (
                Conv(f"{name}.branch7x7_1", width),
                _same(f"{name}.branch7x7_2", width, 1, 7),
                _same(f"{name}.branch7x7_3", 192, 7, 1),
            ),
            (
                Conv(f"{name}.branch7x7dbl_1", width),
                _same(f"{name}.branch7x7dbl_2", width, 7, 1),
                _same(f"{name}.branch7x7dbl_3", width, 1, 7),
                _same(f"{name}.branch7x7dbl_4", width, 7, 1),
                _same(f"{name}.branch7x7dbl_5", 192, 1, 7),
            ),
            (average, Conv(f"{name}.branch_pool", 192)),
        )
    )


def _block_d(name: str) -> Fork:
    """From 17 x 17 to 8 x 8 places."""
    return Fork(
        (
            (Conv(f"{name}.branch3x3_1", 192), _halving(f"{name}.branch3x3_2", 320)),
            (
                Conv(f"{name}.branch7x7x3_1", 192),
                _same(f"{name}.branch7x7x3_2", 192, 1, 7),
                _same(f"{name}.branch7x7x3_3", 192, 7, 1),
                _halving(f"{name}.branch7x7x3_4", 192),
            ),
            (halve,),
        )
    )


def _block_e(name: str, pool: Pool) -> Fork:
    """8 x 8 places."""

    def crossed(branch: str) -> Fork:
        lying = _same(f"{name}.{branch}a", 384, 1, 3)
        standing = _same(f"{name}.{branch}b", 384, 3, 1)
        return Fork(((lying,), (standing,)))

    return Fork(
        (
            (Conv(f"{name}.branch1x1", 320),),
            (Conv(f"{name}.branch3x3_1", 384), crossed("branch3x3_2")),
            (
                Conv(f"{name}.branch3x3dbl_1", 448),
                _same(f"{name}.branch3x3dbl_2", 384, 3, 3),
                crossed("branch3x3dbl_3"),
            ),
            (pool, Conv(f"{name}.branch_pool", 192)),
        )
    )


NETWORK: Steps = (
    _halving("Conv2d_1a_3x3", 32),
    Conv("Conv2d_2a_3x3", 32, (3, 3)),
    _same("Conv2d_2b_3x3", 64, 3, 3),
    halve,
    Conv("Conv2d_3b_1x1", 80),
    Conv("Conv2d_4a_3x3", 192, (3, 3)),
    halve,
    _block_a("Mixed_5b", 32),
    _block_a("Mixed_5c", 64),
    _block_a("Mixed_5d", 64),
    _block_b("Mixed_6a"),
    _block_c("Mixed_6b", 128),
    _block_c("Mixed_6c", 160),
    _block_c("Mixed_6d", 160),
    _block_c("Mixed_6e", 192),
    _block_d("Mixed_7a"),
    _block_e("Mixed_7b", average),
    _block_e("Mixed_7c", maximum),
)


def _kernels(steps: Steps, channels: int) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """Names and shapes of the kernels of some steps; returns the channels that these make."""
    for step in steps:
        if isinstance(step, Conv):
            yield step.name, (*step.size, channels, step.features)
            channels = step.features
        elif isinstance(step, Fork):
            made = 0
            for branch in step.branches:
                made += yield from _kernels(branch, channels)
            channels = made
    return channels


# The shape of each kernel, by the name of its convolution.
CONVOLUTIONS: Mapping[str, tuple[int, int, int, int]] = dict(_kernels(NETWORK, 3))


def shapes() -> dict[str, tuple[int, ...]]:
    """The shape of each of the weights, by name."""
    made: dict[str, tuple[int, ...]] = {}
    for name, shape in CONVOLUTIONS.items():
        made |= {f"{name}.kernel": shape, f"{name}.bias": shape[-1:]}
    return made


def _run(steps: Steps, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    for step in steps:
        if isinstance(step, Conv):
            x = lax.conv_general_dilated(
                x,
                weights[f"{step.name}.kernel"],
                (step.stride, step.stride),
                [(pad, pad) for pad in step.pads],
                dimension_numbers=LAYOUT,
                # Else a GPU may round to TF32, and features differ in their third digit.
                precision=lax.Precision.HIGHEST,
            )
            x = jax.nn.relu(x + weights[f"{step.name}.bias"][None, None, None])
        elif isinstance(step, Fork):
            x = jnp.concatenate([_run(branch, weights, x) for branch in step.branches], axis=-1)
        else:
            x = step(x)
    return x


def pool3(weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    """The features of images [n, height, width, 3] in [-1, 1], [n, WIDTH].

    Images may be of any size from 75 x 75 on; the FID is defined with SIDE x SIDE.
    """
    return jnp.mean(_run(NETWORK, weights, x), axis=(1, 2))


def prepared(x: jax.Array) -> jax.Array:
    """Images [n, height, width, 1 or 3] in [0, 1] as `pool3` takes them for the FID.

    They are scaled bilinearly, without antialiasing and with the corners of outer pixels in place,
    to SIDE x SIDE; grey is repeated; [0, 1] becomes [-1, 1].
    """
    shape = (len(x), SIDE, SIDE, x.shape[-1])
    scaled = jax.image.resize(x, shape, "bilinear", antialias=False)
    return 2.0 * jnp.broadcast_to(scaled, (*shape[:3], 3)) - 1.0
