"""Checkpoints: exact, pruned, and robust against a damaged newest one."""

import shutil

import jax
import numpy as np

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


def test_damaged_newest_falls_back(tmp_path):
    for step in (2, 4):
        checkpoint.save(tmp_path, step, plus(STATE, step))
    shutil.rmtree(tmp_path / "4" / "default" / "d", ignore_errors=True)
    for path in (tmp_path / "4" / "default").rglob("*"):
        if path.is_file() and "METADATA" not in path.name.upper():
            path.write_bytes(b"")
    restored = checkpoint.restore(tmp_path, STATE)
    assert restored is not None
    assert (restored.step, restored.skipped) == (2, (4,))
    jax.tree.map(np.testing.assert_array_equal, restored.state, plus(STATE, 2))


def test_nothing_saved(tmp_path):
    assert checkpoint.restore(tmp_path / "missing", STATE) is None
