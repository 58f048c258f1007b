"""Padding of train states: how cells of several sizes share one program."""

import dataclasses

import jax
import jax.numpy as jnp

from mdvae.data.base import FEATURE_MAJOR, PyTree
from mdvae.methods.base import Method, TrainState
from mdvae.settings.grid import Cell, Group


def pad_like(tree: PyTree, template: PyTree) -> PyTree:
    """Pads every leaf with trailing zeros to the template's shape.

    Zero padding is a fixed point of training once the objective is masked: padded weights see
    zero inputs and zero gradients.
    """

    def pad(leaf: jax.Array, like: jax.ShapeDtypeStruct) -> jax.Array:
        widths = [(0, n - m, 0) for m, n in zip(leaf.shape, like.shape, strict=True)]
        return jax.lax.pad(leaf, jnp.zeros((), leaf.dtype), widths)

    return jax.tree.map(pad, tree, template)


def unpad_like(tree: PyTree, template: PyTree) -> PyTree:
    """The inverse of `pad_like`: the leading part of every leaf, at the template's shape."""
    return jax.tree.map(
        lambda leaf, like: leaf[tuple(slice(n) for n in like.shape)], tree, template
    )


def true_entries(x: jax.Array, d: jax.Array, sample_axis: int) -> jax.Array:
    """1 where an entry of x is true and 0 in its padding, to multiply x by; images have none.

    Args:
        d: the true width of x.
        sample_axis: of x.
    """
    if sample_axis != FEATURE_MAJOR:
        return jnp.ones((), x.dtype)
    mask_D = (jnp.arange(x.shape[-2], dtype=d.dtype) < d).astype(x.dtype)
    return mask_D.reshape(*(1,) * (x.ndim - 2), -1, 1)


def true_latents(like_KB: jax.Array, kappa: jax.Array) -> jax.Array:
    """1 for a true latent and 0 for padding, [kappa].

    Args:
        kappa: the true width of z.
    """
    return (jnp.arange(len(like_KB), dtype=kappa.dtype) < kappa).astype(like_KB.dtype)


def true_shapes(method: Method, cell: Cell) -> TrainState:
    """Shapes and dtypes of a cell's train state without padding."""
    return jax.eval_shape(lambda key: method.init(key, cell), jax.random.key(0))


def padded_shapes(method: Method, group: Group) -> TrainState:
    """Shapes and dtypes of a group's padded train state."""
    return true_shapes(method, dataclasses.replace(group.cells[0], sizes=group.sizes))
