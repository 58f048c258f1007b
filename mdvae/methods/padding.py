"""Padding of train states: how cells of several sizes share one program."""

import dataclasses

import jax
import jax.numpy as jnp

from mdvae.data.base import PyTree
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


def true_shapes(method: Method, cell: Cell) -> TrainState:
    """Shapes and dtypes of a cell's train state without padding."""
    return jax.eval_shape(lambda key: method.init(key, cell), jax.random.key(0))


def padded_shapes(method: Method, group: Group) -> TrainState:
    """Shapes and dtypes of a group's padded train state."""
    return true_shapes(method, dataclasses.replace(group.cells[0], sizes=group.sizes))
