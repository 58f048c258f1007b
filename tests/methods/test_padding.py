"""Padding of trees and of train states."""

import jax
import numpy as np
import pytest

from mdvae.methods.base import make_method
from mdvae.methods.padding import pad_like, padded_shapes, true_shapes, unpad_like
from mdvae.settings.grid import make_cells, make_groups


def test_pad_and_unpad():
    tree = {"a": np.arange(6.0, dtype=np.float32).reshape(2, 3), "b": np.float32(2.0)}
    template = {
        "a": jax.ShapeDtypeStruct((4, 3), np.float32),
        "b": jax.ShapeDtypeStruct((), np.float32),
    }
    padded = pad_like(jax.tree.map(jax.numpy.asarray, tree), template)
    assert padded["a"].shape == (4, 3)
    assert not np.any(padded["a"][2:])
    back = unpad_like(padded, tree)
    jax.tree.map(np.testing.assert_array_equal, back, tree)


def test_whole_numbers_keep_their_type():
    padded = pad_like(
        {"n": jax.numpy.ones(2, jax.numpy.int32)}, {"n": jax.ShapeDtypeStruct((3,), np.int32)}
    )
    assert padded["n"].dtype == np.int32
    np.testing.assert_array_equal(padded["n"], [1, 1, 0])


def test_trees_of_other_structures_are_refused():
    with pytest.raises(ValueError, match="zip"):
        pad_like({"a": np.ones(2)}, {"a": jax.ShapeDtypeStruct((2, 2), np.float32)})


def test_a_group_holds_each_of_its_cells(tiny):
    """Every leaf of a cell's state fits into the group's, and some leaf is the smaller one."""
    (group,) = make_groups(make_cells(tiny({"kappa": (2, 5), "d": (4, 9), "r": (2,)})))
    method = make_method(group, 10)
    shapes = padded_shapes(method, group)
    for cell in group.cells:
        true = true_shapes(method, cell)
        pairs = list(zip(jax.tree.leaves(true), jax.tree.leaves(shapes), strict=True))
        assert all(a.dtype == b.dtype and len(a.shape) == len(b.shape) for a, b in pairs)
        assert all(n <= m for a, b in pairs for n, m in zip(a.shape, b.shape, strict=True))
        largest = (cell.sizes.kappa, cell.sizes.d) == (5, 9)
        assert all(a.shape == b.shape for a, b in pairs) == largest
