"""Checkpoints: exact, pruned, and robust against a damaged newest one."""

import jax
import numpy as np
import pytest

from mdvae import checkpoint

STATE = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
    "b": (np.int32(3) * np.ones(2, np.int32),),
}


def plus(state, n):
    return jax.tree.map(lambda leaf: leaf + np.asarray(n, leaf.dtype), state)


def test_round_trip_is_exact_and_newest(tmp_path):
    for step in (2, 4, 6):
        checkpoint.save(tmp_path / "c", step, plus(STATE, step))
    restored = checkpoint.restore(tmp_path / "c", STATE)
    assert restored is not None
    assert restored.step == 6
    assert restored.skipped == ()
    jax.tree.map(np.testing.assert_array_equal, restored.state, plus(STATE, 6))
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(restored.state))
    kept = [path.name for path in (tmp_path / "c").iterdir() if path.name.isdigit()]
    assert sorted(kept) == ["4", "6"]


def damage(path):
    for file in (path / "default").rglob("*"):
        if file.is_file() and "METADATA" not in file.name.upper():
            file.write_bytes(b"")


def test_damaged_newest_falls_back_and_can_be_saved_again(tmp_path):
    for step in (2, 4):
        checkpoint.save(tmp_path, step, plus(STATE, step))
    damage(tmp_path / "4")
    restored = checkpoint.restore(tmp_path, STATE)
    assert restored is not None
    assert (restored.step, restored.skipped) == (2, (4,))
    jax.tree.map(np.testing.assert_array_equal, restored.state, plus(STATE, 2))
    checkpoint.discard(tmp_path, restored.skipped)
    checkpoint.save(tmp_path, 4, plus(STATE, 5))
    again = checkpoint.restore(tmp_path, STATE)
    assert again is not None
    assert (again.step, again.skipped) == (4, ())
    jax.tree.map(np.testing.assert_array_equal, again.state, plus(STATE, 5))


def test_nothing_readable_is_said(tmp_path):
    checkpoint.save(tmp_path, 2, STATE)
    damage(tmp_path / "2")
    with pytest.raises(checkpoint.DamagedError, match=r"none of its checkpoints \(2\)"):
        checkpoint.restore(tmp_path, STATE)


def test_nothing_saved(tmp_path):
    assert checkpoint.restore(tmp_path / "missing", STATE) is None
