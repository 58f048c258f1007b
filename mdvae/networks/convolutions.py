"""Convolutions of images with samples last, and their gradients.

All arrays are [blocks, height, width, channels, samples], a batch cut into blocks of samples. On
accelerators there is one block, and convolutions are the compiler's. On a CPU the compiler's take
several times what they could with few channels, most of it in the gradient of the kernel. There
they are sums of shifted arrays, whose inner loop runs over the samples of a block without a
stride, or where there are many channels a matrix product for each place of the image; and blocks
are so small that what a kernel sees of one stays in the cache.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

# Up to so many channels on either side a product of matrices is too small to pay.
FEW_CHANNELS = 8
# Numbers that stay in the cache of a core from one place of the image to the next.
CACHED = 2**17
# Samples of a block, at most.
BLOCK = 128
LAYOUT = ("HWCN", "HWIO", "HWCN")

_by_compiler = contextvars.ContextVar("by_compiler", default=False)


@contextlib.contextmanager
def by_compiler() -> Iterator[None]:
    """Has what is traced inside take the compiler's own convolutions, on a CPU too.

    Only these can be differentiated forwards, as a Jacobian with few inputs is.
    """
    token = _by_compiler.set(True)
    try:
        yield
    finally:
        _by_compiler.reset(token)


def is_own() -> bool:
    """Whether convolutions that are traced now are those of this file."""
    return jax.default_backend() == "cpu" and not _by_compiler.get()


def block_of(batch: int) -> int:
    """Samples of a block of a batch: the largest divisor that is small enough, and not tiny."""
    if not is_own():
        return batch
    divisors = [size for size in range(BLOCK // 4, BLOCK + 1) if batch % size == 0]
    return max(divisors, default=batch)


def to_blocks(x_NHWC: jax.Array) -> jax.Array:
    """Images [batch, height, width, channels] as [blocks, height, width, channels, samples]."""
    batch, *shape = x_NHWC.shape
    blocks = x_NHWC.reshape(-1, block_of(batch), *shape)
    return jnp.moveaxis(blocks, 1, -1)


def from_blocks(x_GHWCN: jax.Array) -> jax.Array:
    """The inverse of `to_blocks`."""
    return jnp.moveaxis(x_GHWCN, -1, 1).reshape(-1, *x_GHWCN.shape[1:-1])


def flatten(x_GHWCN: jax.Array) -> jax.Array:
    """Blocks of images as vectors, [height x width x channels, batch]."""
    blocks, *shape, samples = x_GHWCN.shape
    return jnp.moveaxis(x_GHWCN, 0, -2).reshape(math.prod(shape), blocks * samples)


def unflatten(h_HWCB: jax.Array) -> jax.Array:
    """Images [height, width, channels, batch] in blocks."""
    *shape, batch = h_HWCB.shape
    return jnp.moveaxis(h_HWCB.reshape(*shape, -1, block_of(batch)), -2, 0)


def convolve(x_GHWCN: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    """The convolution of a network (a correlation) of images padded with zeros on all sides.

    Args:
        kernel: [rows, columns, channels in, channels out].
    """
    if not is_own():
        pads = [(padding, padding)] * 2
        return _compiled(x_GHWCN, kernel, pads, strides=(stride, stride))
    pads = ((0, 0), (padding, padding), (padding, padding), (0, 0), (0, 0))
    return _correlate(jnp.pad(x_GHWCN, pads), kernel, stride)


def convolve_transposed(
    x_GHWCN: jax.Array, kernel: jax.Array, stride: int, padding: int
) -> jax.Array:
    """The transposed convolution, stride times as high and wide as x for kernels of that + 2 pads.

    It is the gradient of `convolve` in its images: out[stride i + k - padding] sums kernel[k] x[i].

    Args:
        kernel: [rows, columns, channels in, channels out].
    """
    if not is_own():
        pads = [(size - 1 - padding, size - 1 - padding) for size in kernel.shape[:2]]
        return _compiled(x_GHWCN, kernel[::-1, ::-1], pads, spaced=(stride, stride))
    spread: Any = _spread(x_GHWCN, kernel, stride)
    height, width = spread.shape[1:3]
    return spread[:, padding : height - padding, padding : width - padding]


def _compiled(
    x_GHWCN: jax.Array,
    kernel: jax.Array,
    pads: Sequence[tuple[int, int]],
    strides: tuple[int, int] = (1, 1),
    spaced: tuple[int, int] = (1, 1),
) -> jax.Array:
    """The compiler's convolution of each block."""

    def of_block(x_HWCN: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x_HWCN,
            kernel,
            strides,
            pads,
            lhs_dilation=spaced,
            dimension_numbers=LAYOUT,
            preferred_element_type=jnp.float32 if x_HWCN.dtype == jnp.bfloat16 else None,
        )

    return of_block(x_GHWCN[0])[None] if len(x_GHWCN) == 1 else jax.vmap(of_block)(x_GHWCN)


def _swapped(kernel: jax.Array) -> jax.Array:
    """The kernel of the adjoint: channels out and in change places."""
    return jnp.swapaxes(kernel, 2, 3)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _correlate(x_GHWCN: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """out[i, j] = sum over k, l of kernel[k, l] x[stride i + k, stride j + l], without padding."""
    return _correlated(x_GHWCN, kernel, stride)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _spread(x_GHWCN: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """The adjoint of `_correlate`: out[stride i + k, stride j + l] sums kernel[k, l] x[i, j]."""
    return _spread_out(x_GHWCN, kernel, stride)


def _correlate_fwd(x_GHWCN: jax.Array, kernel: jax.Array, stride: int):
    return _correlate(x_GHWCN, kernel, stride), (x_GHWCN, kernel)


def _correlate_bwd(stride: int, saved: tuple[jax.Array, jax.Array], out: jax.Array):
    x_GHWCN, kernel = saved
    spread = _spread_out(out, _swapped(kernel), stride)
    # Rows and columns that no place of the kernel reaches.
    missing = [(0, n - m) for n, m in zip(x_GHWCN.shape, spread.shape, strict=True)]
    return jnp.pad(spread, missing), _kernel_gradient(x_GHWCN, out, stride, kernel.shape[:2])


def _spread_fwd(x_GHWCN: jax.Array, kernel: jax.Array, stride: int):
    return _spread(x_GHWCN, kernel, stride), (x_GHWCN, kernel)


def _spread_bwd(stride: int, saved: tuple[jax.Array, jax.Array], out: jax.Array):
    x_GHWCN, kernel = saved
    own = _correlated(out, _swapped(kernel), stride)
    return own, _swapped(_kernel_gradient(out, x_GHWCN, stride, kernel.shape[:2]))


_correlate.defvjp(_correlate_fwd, _correlate_bwd)
_spread.defvjp(_spread_fwd, _spread_bwd)


def _correlated(x_GHWCN: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    rows, columns, channels, outputs = kernel.shape
    height = (x_GHWCN.shape[1] - rows) // stride + 1
    width = (x_GHWCN.shape[2] - columns) // stride + 1
    if max(channels, outputs) > FEW_CHANNELS:
        return _by_places(x_GHWCN, kernel, stride, height, width)
    total = None
    for k in range(rows):
        for j in range(columns):
            shifted = x_GHWCN[
                :,
                k : k + stride * (height - 1) + 1 : stride,
                j : j + stride * (width - 1) + 1 : stride,
            ]
            for c in range(channels):
                # A channel at a time: one loop over outputs then reads each value once.
                term = shifted[:, :, :, c, None] * kernel[None, None, None, k, j, c, :, None]
                total = term if total is None else total + term
    assert total is not None
    return total


def _by_places(
    x_GHWCN: jax.Array, kernel: jax.Array, stride: int, height: int, width: int
) -> jax.Array:
    """`_correlated` as products of matrices by place, [outputs, inputs] by [inputs, samples].

    Nothing is copied but the window of the place, which stays in the cache.
    """
    rows, columns, channels, outputs = kernel.shape
    blocks, samples = len(x_GHWCN), x_GHWCN.shape[-1]
    weights_OI = kernel.reshape(rows * columns * channels, outputs).T
    zero = jnp.int32(0)

    def at(place: jax.Array, out: jax.Array) -> jax.Array:
        block, i, j = _coordinates(place, height, width)
        window_IN = _window(x_GHWCN, block, stride * i, stride * j, (rows, columns))
        y_ON = weights_OI @ window_IN
        return lax.dynamic_update_slice(out, y_ON[None, None, None], (block, i, j, zero, zero))

    empty = jnp.zeros((blocks, height, width, outputs, samples), x_GHWCN.dtype)
    return _over_places(blocks * height * width, at, empty)


def _coordinates(place: jax.Array, height: int, width: int) -> tuple[jax.Array, ...]:
    """The block, row and column of a place."""
    place = place.astype(jnp.int32)  # in double precision a counter is an int64
    block, rest = place // (height * width), place % (height * width)
    return block, rest // width, rest % width


def _over_places(
    places: int, body: Callable[[jax.Array, jax.Array], jax.Array], empty: jax.Array
) -> jax.Array:
    """A loop over places that adds to, or fills, what begins as empty."""
    return lax.fori_loop(0, places, body, empty)


def _window(
    x_GHWCN: jax.Array, block: jax.Array, i: jax.Array, j: jax.Array, size: tuple[int, ...]
) -> jax.Array:
    """What a kernel sees from a place on, [rows x columns x channels, samples]."""
    channels, samples = x_GHWCN.shape[3:]
    zero = jnp.int32(0)
    window = lax.dynamic_slice(x_GHWCN, (block, i, j, zero, zero), (1, *size, channels, samples))
    return window.reshape(-1, samples)


def _spread_out(x_GHWCN: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Correlations with what of the kernel meets each row and column modulo the stride."""
    rows, columns, _, outputs = kernel.shape
    blocks, height, width, _, samples = x_GHWCN.shape
    most = tuple(-(-size // stride) for size in (rows, columns))
    tall, wide = height + most[0] - 1, width + most[1] - 1
    flipped = kernel[::-1, ::-1]

    def at(a: int, b: int) -> jax.Array:
        # Rows a, a + stride, ... of the kernel, the last first.
        phase = flipped[(rows - 1 - a) % stride :: stride, (columns - 1 - b) % stride :: stride]
        if a >= rows or b >= columns:
            return jnp.zeros((blocks, tall, wide, outputs, samples), x_GHWCN.dtype)
        pads = [(size - 1, whole - 1) for size, whole in zip(phase.shape[:2], most, strict=True)]
        padded = jnp.pad(x_GHWCN, ((0, 0), *pads, (0, 0), (0, 0)))
        # Fused with the weaving below, all would be computed for each pixel.
        return lax.optimization_barrier(_correlated(padded, phase, 1))

    phases = [jnp.stack([at(a, b) for b in range(stride)], axis=3) for a in range(stride)]
    woven = jnp.stack(phases, axis=2)
    whole = woven.reshape(blocks, tall * stride, wide * stride, outputs, samples)
    return whole[:, : stride * (height - 1) + rows, : stride * (width - 1) + columns]


def _kernel_gradient(
    x_GHWCN: jax.Array, out: jax.Array, stride: int, size: tuple[int, ...]
) -> jax.Array:
    """The gradient of `_correlate` in its kernel, from that in its output; place by place."""
    blocks, height, width, outputs, samples = out.shape
    channels = x_GHWCN.shape[3]
    inputs, places = size[0] * size[1] * channels, blocks * height * width

    def ends(place: jax.Array) -> tuple[jax.Array, jax.Array]:
        block, i, j = _coordinates(place, height, width)
        window_IN = _window(x_GHWCN, block, stride * i, stride * j, size)
        return window_IN, _window(out, block, i, j, (1, 1))

    def add_products(place: jax.Array, total_ION: jax.Array) -> jax.Array:
        window_IN, out_ON = ends(place)
        return total_ION + window_IN[:, None] * out_ON[None]

    def add_dot(place: jax.Array, total_IO: jax.Array) -> jax.Array:
        window_IN, out_ON = ends(place)
        return total_IO + lax.dot_general(window_IN, out_ON, (((1,), (1,)), ((), ())))

    if inputs * outputs * samples <= CACHED:
        # Sums over samples wait until the end: until then all is one loop without a stride.
        empty = jnp.zeros((inputs, outputs, samples), x_GHWCN.dtype)
        total_IO = jnp.sum(_over_places(places, add_products, empty), axis=-1)
    else:
        empty = jnp.zeros((inputs, outputs), x_GHWCN.dtype)
        total_IO = _over_places(places, add_dot, empty)
    return total_IO.reshape(*size, channels, outputs)
