"""Checkpoints: exact, pruned, readable by item, and robust against a damaged newest one."""

import os
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from mdvae.engine.ensemble import AXIS, run_mesh
from mdvae.store import checkpoint, digests, leftovers, opening
from mdvae.store.checkpoint import MODEL, TRAINING

MODEL_STATE = {"a": np.arange(6, dtype=np.float32).reshape(2, 3) / 7}
TRAINING_STATE = {"b": (np.int32(3) * np.ones(2, np.int32),)}
ITEMS = {MODEL: MODEL_STATE, TRAINING: TRAINING_STATE}
FLIPS = 100


def plus(state, n):
    return jax.tree.map(lambda leaf: leaf + np.asarray(n, leaf.dtype), state)


def assert_equal(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(found))


def test_round_trip_is_exact_and_newest(tmp_path):
    for step in (2, 4, 6, 8):
        checkpoint.save(tmp_path / "c", step, plus(ITEMS, step), keep=3)
    restored = checkpoint.restore(tmp_path / "c", ITEMS)
    assert restored is not None
    assert restored.step == 8
    assert restored.skipped == ()
    assert_equal(restored.items, plus(ITEMS, 8))
    kept = [path.name for path in (tmp_path / "c").iterdir() if path.name.isdigit()]
    assert sorted(kept) == ["4", "6", "8"]


@pytest.mark.parametrize("name", [MODEL, TRAINING])
def test_an_item_is_read_without_the_other(tmp_path, name):
    checkpoint.save(tmp_path, 2, ITEMS)
    restored = checkpoint.restore(tmp_path, {name: ITEMS[name]})
    assert restored is not None
    assert set(restored.items) == {name}
    assert_equal(restored.items, {name: ITEMS[name]})


def empty(path):
    """Empties all files but those that say what there is."""
    files = [file for file in path.rglob("*") if file.is_file()]
    damaged = [file for file in files if "METADATA" not in file.name.upper()]
    assert damaged
    for file in damaged:
        file.write_bytes(b"")


@pytest.mark.parametrize("how", [shutil.rmtree, empty])
def test_a_model_needs_nothing_of_the_training(tmp_path, how):
    checkpoint.save(tmp_path, 2, ITEMS)
    how(tmp_path / "2" / TRAINING)
    restored = checkpoint.restore(tmp_path, {MODEL: MODEL_STATE})
    assert restored is not None
    assert (restored.step, restored.skipped) == (2, ())
    assert_equal(restored.items, {MODEL: MODEL_STATE})
    with pytest.raises(checkpoint.DamagedError):
        checkpoint.restore(tmp_path, ITEMS)


def test_rows_beyond_the_template_are_dropped(tmp_path):
    """A slice is filled up to a multiple of the devices that it ran on."""
    checkpoint.save(tmp_path, 2, ITEMS)
    wanted = jax.tree.map(lambda leaf: leaf[:1], ITEMS)
    restored = checkpoint.restore(tmp_path, wanted)
    assert restored is not None
    assert_equal(restored.items, wanted)


@pytest.mark.parametrize("item", [MODEL, TRAINING])
def test_damaged_newest_falls_back_and_can_be_saved_again(tmp_path, item):
    for step in (2, 4):
        checkpoint.save(tmp_path, step, plus(ITEMS, step))
    empty(tmp_path / "4" / item)
    restored = checkpoint.restore(tmp_path, ITEMS)
    assert restored is not None
    assert (restored.step, restored.skipped) == (2, (4,))
    assert_equal(restored.items, plus(ITEMS, 2))
    checkpoint.discard(tmp_path, restored.skipped)
    checkpoint.save(tmp_path, 4, plus(ITEMS, 5))
    again = checkpoint.restore(tmp_path, ITEMS)
    assert again is not None
    assert (again.step, again.skipped) == (4, ())
    assert_equal(again.items, plus(ITEMS, 5))
    # What was moved aside is neither pruned nor taken for a step.
    checkpoint.save(tmp_path, 6, plus(ITEMS, 6))
    assert folders(tmp_path) == {"2", "4", "6", "4.unreadable"}


NAMES = ("a 0", "a 1")


def test_names_are_those_of_the_rows_that_are_asked_for(tmp_path):
    """Of a slice that was filled up, the leading ones; of another run's checkpoint, none."""
    checkpoint.save(tmp_path, 2, ITEMS, NAMES[:1])
    one = jax.tree.map(lambda leaf: leaf[:1], ITEMS)
    assert checkpoint.restore(tmp_path, one, NAMES[:1]) is not None
    for others in (("a 1",), (), ("b 0",)):
        with pytest.raises(checkpoint.DamagedError, match="is whole and of these runs"):
            checkpoint.restore(tmp_path, one, others)
    # Nor are two rows that have changed places what they were.
    checkpoint.save(tmp_path / "two", 2, ITEMS, NAMES)
    with pytest.raises(checkpoint.DamagedError):
        checkpoint.restore(tmp_path / "two", ITEMS, NAMES[::-1])


def test_a_checkpoint_of_an_older_version_has_no_digests(tmp_path):
    with checkpoint._manager(tmp_path, ITEMS, create=True) as manager:
        saved = {name: ocp.args.StandardSave(item) for name, item in ITEMS.items()}
        manager.save(2, args=ocp.args.Composite(**saved), force=True)
    restored = checkpoint.restore(tmp_path, ITEMS, NAMES)
    assert restored is not None
    assert_equal(restored.items, ITEMS)


def test_digests_of_an_older_version_have_no_step(tmp_path):
    found = {name: digests.of_item(item, NAMES) for name, item in ITEMS.items()}
    with checkpoint._manager(tmp_path, (*ITEMS, checkpoint.DIGESTS), create=True) as manager:
        items = {**ITEMS, checkpoint.DIGESTS: found}
        saved = {name: ocp.args.StandardSave(item) for name, item in items.items()}
        manager.save(2, args=ocp.args.Composite(**saved), force=True)
    restored = checkpoint.restore(tmp_path, ITEMS, NAMES)
    assert restored is not None
    assert_equal(restored.items, ITEMS)
    with pytest.raises(checkpoint.DamagedError):
        checkpoint.restore(tmp_path, ITEMS, NAMES[::-1])


def test_digests_that_are_gone_are_missed(tmp_path):
    checkpoint.save(tmp_path, 2, ITEMS)
    shutil.rmtree(tmp_path / "2" / checkpoint.DIGESTS)
    with pytest.raises(checkpoint.DamagedError):
        checkpoint.restore(tmp_path, ITEMS)


def test_a_flipped_bit_is_found_or_changes_nothing(tmp_path):
    """In random places of all files of the newest of two checkpoints, one after another."""
    generator = np.random.default_rng(0)
    wide = {name: jax.tree.map(lambda leaf: np.repeat(leaf, 50, 0), ITEMS[name]) for name in ITEMS}
    for step in (2, 4):
        checkpoint.save(tmp_path, step, plus(wide, step), NAMES)
    files = sorted(file for file in (tmp_path / "4").rglob("*") if file.is_file())
    files = [file for file in files if file.stat().st_size]
    outcomes = []
    for _ in range(FLIPS):
        file = files[generator.integers(len(files))]
        whole = file.read_bytes()
        place, bit = generator.integers(len(whole)), generator.integers(8)
        file.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << bit)]) + whole[place + 1 :])
        restored = checkpoint.restore(tmp_path, wide, NAMES)
        assert restored is not None
        assert (restored.step, restored.skipped) in ((4, ()), (2, (4,)))
        assert_equal(restored.items, plus(wide, restored.step))
        outcomes.append(restored.step)
        file.write_bytes(whole)
    assert set(outcomes) == {2, 4}
    print(f"{FLIPS} bits flipped: {outcomes.count(2)} found, the others harmless")


@pytest.mark.parametrize("rows", [2, 1])
def test_digests_of_rows_on_devices_are_those_on_the_host(rows):
    """Split over two devices, or with a row that both share; rows without a name are told apart."""
    mesh = run_mesh(jax.devices()[:2], rows, [4])
    split = NamedSharding(mesh, PartitionSpec(AXIS))
    item = {
        "a": (np.arange(4 * 6, dtype=np.float32).reshape(4, 2, 3),),
        "b": np.arange(4, dtype=np.int32),
    }
    expected = digests.of_item(item, ["x", "y", "z"])
    assert len({row.tobytes() for row in expected}) == 4
    found = digests.of_item(jax.device_put(item, split), ["x", "y", "z"])
    assert found.sharding.is_equivalent_to(split, 2)
    np.testing.assert_array_equal(found, expected)
    assert digests.same(jax.tree.map(lambda leaf: leaf[:3], item), ["x", "y", "z"], expected)
    assert not digests.same(jax.tree.map(lambda leaf: -leaf[:3], item), ["x", "y", "z"], expected)


def folders(path):
    return {each.name for each in path.iterdir() if each.is_dir()}


def test_a_kill_while_an_old_step_is_removed_damages_nothing(tmp_path, monkeypatch):
    """Its files go one by one."""

    def killed(path, *_, **__):
        next(each for each in path.rglob("*") if each.is_file()).unlink()

    for step in (2, 4):
        checkpoint.save(tmp_path, step, plus(ITEMS, step), keep=2)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        checkpoint.save(tmp_path, 6, plus(ITEMS, 6), keep=2)
        assert list((tmp_path / leftovers.OLD).iterdir())
    assert checkpoint.whole_steps(tmp_path, ITEMS) == {4: True, 6: True}
    checkpoint.save(tmp_path, 8, plus(ITEMS, 8), keep=2)
    assert folders(tmp_path) == {"6", "8"}


def test_a_step_may_go_while_folders_are_looked_through(tmp_path, monkeypatch):
    """As another process removes it."""
    (tmp_path / "c" / "2" / "model").mkdir(parents=True)
    known = os.scandir

    def scandir(path):
        if str(path).endswith("2"):
            path.rename(tmp_path / "gone")
        return known(path)

    monkeypatch.setattr(os, "scandir", scandir)
    opening.check_tree(tmp_path / "c", tmp_path)
    assert (tmp_path / "gone").exists()


def test_what_cannot_be_read_is_kept_however_often(tmp_path, capsys):
    """It may have been a disk that was away for a moment: moved back, it is there again."""
    for value in (1, 2, 3):
        checkpoint.save(tmp_path, 4, plus(ITEMS, value))
        checkpoint.discard(tmp_path, [4])
    assert folders(tmp_path) == {"4.unreadable", "4.unreadable-2", "4.unreadable-3"}
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[1]
        == f"warning: {tmp_path / '4'}: is damaged, or of other runs; kept as 4.unreadable-2"
    )
    assert len(lines) == 3
    assert checkpoint.restore(tmp_path, ITEMS) is None
    (tmp_path / "4.unreadable-2").rename(tmp_path / "4")
    restored = checkpoint.restore(tmp_path, ITEMS)
    assert restored is not None
    assert_equal(restored.items, plus(ITEMS, 2))


def test_what_cannot_be_moved_aside_is_said_in_one_line(tmp_path):
    with pytest.raises(
        checkpoint.DamagedError, match=r"4: is damaged, or of other runs, and cannot be moved"
    ) as caught:
        checkpoint.discard(tmp_path, [4])
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_structure_is_not_taken_for_one(tmp_path):
    checkpoint.save(tmp_path, 2, ITEMS)
    other = {MODEL: {"a": MODEL_STATE["a"], "more": MODEL_STATE["a"]}}
    with pytest.raises(checkpoint.DamagedError):
        checkpoint.restore(tmp_path, other)


def test_nothing_readable_is_said(tmp_path):
    checkpoint.save(tmp_path, 2, ITEMS)
    empty(tmp_path / "2")
    with pytest.raises(checkpoint.DamagedError, match=r"none of its checkpoints \(2\)"):
        checkpoint.restore(tmp_path, ITEMS)


def test_nothing_saved(tmp_path):
    assert checkpoint.restore(tmp_path / "missing", ITEMS) is None
