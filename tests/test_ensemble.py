"""Placing, padding and sharing of runs."""

import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mdvae.ensemble import Run, fill_slots, pad_like, share, split_runs, take_runs, unpad_like

runs_strategy = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 3)), min_size=1, max_size=40, unique=True
)


@given(runs_strategy, st.integers(1, 6), st.integers(1, 5))
def test_split_keeps_every_run_once_and_all_slices_one_shape(pairs, n_slices, n_devices):
    runs = [Run(*pair) for pair in pairs]
    placements = split_runs(runs, n_slices, n_devices)
    real = [run for placement in placements for run in placement.slots[: placement.n_runs]]
    assert real == runs
    assert len({len(placement.slots) for placement in placements}) == 1
    assert len(placements[0].slots) % n_devices == 0
    assert len(placements) <= n_slices


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(1, 4))
def test_share_finds_each_key_on_its_own_device(keys, n_devices):
    keys = keys * n_devices
    shared = share(keys, n_devices)
    per_device, size = len(keys) // n_devices, len(shared.table) // n_devices
    found = [
        shared.table[(slot // per_device) * size + index] for slot, index in enumerate(shared.index)
    ]
    assert found == keys
    assert size == max(
        len(set(keys[i * per_device : (i + 1) * per_device])) for i in range(n_devices)
    )


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


def test_fill_and_take():
    tree = {"a": np.arange(6).reshape(3, 2)}
    filled = fill_slots(tree, 5)
    np.testing.assert_array_equal(filled["a"][3:], [[4, 5], [4, 5]])
    np.testing.assert_array_equal(take_runs(filled, 3)["a"], tree["a"])
