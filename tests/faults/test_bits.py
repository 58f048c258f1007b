"""What a disk may do to a checkpoint: found, and the one before it is taken, or of no effect."""

import shutil
from collections import Counter

import jax
import numpy as np
import pytest
from children import templates_of
from runs import SMALL, copy_of, finished_run, run_report, run_sweep

from mdvae.store import checkpoint, rundir

OLDER, NEWEST = 60, 120
FLIPS, FEW = 100, 15
FOUND, HARMLESS, UNNOTICED = "found", "harmless", "unnoticed"
# What is done to the bytes of a file; None takes it away.
DAMAGES = {
    "a bit": lambda whole, generator: flipped(whole, generator),
    "cut off": lambda whole, generator: whole[: generator.integers(len(whole))],
    "zeros from some place on": lambda whole, generator: zeroed(whole, generator),
    "emptied": lambda whole, _: b"",
    "deleted": lambda whole, _: None,
}


def flipped(whole, generator):
    place, bit = generator.integers(len(whole)), generator.integers(8)
    return whole[:place] + bytes([whole[place] ^ (1 << bit)]) + whole[place + 1 :]


def zeroed(whole, generator):
    place = generator.integers(len(whole))
    return whole[:place] + bytes(len(whole) - place)


def same(mine, theirs):
    """Whether two restored items are equal, bit for bit."""
    if jax.tree.structure(mine) != jax.tree.structure(theirs):
        return False
    pairs = zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True)
    return all((a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()) for a, b in pairs)


class Damaged:
    """A run directory of two checkpoints, of which files of the newest are damaged in turn."""

    def __init__(self, path):
        self.path = path
        ((self.directory, self.read_by),) = templates_of(path).items()
        self.saved = {NEWEST: self._restore()}
        newest = self.directory / str(NEWEST)
        newest.rename(path / "aside")
        self.saved[OLDER] = self._restore()
        (path / "aside").rename(newest)
        assert [each.step for each in self.saved.values()] == [NEWEST, OLDER]
        files = [file for file in newest.rglob("*") if file.is_file() and file.stat().st_size]
        # Names of data are random.
        self.files = sorted(files, key=lambda file: (file.parent, file.stat().st_size))

    def _restore(self):
        found = checkpoint.restore(self.directory, *self.read_by)
        assert found is not None
        return found

    def outcome(self, file, how, generator):
        """What comes of a damage, which is undone."""
        whole = file.read_bytes()
        damaged = how(whole, generator)
        file.unlink()
        if damaged is not None:
            file.write_bytes(damaged)
        try:
            found = self._restore()
        finally:
            file.write_bytes(whole)
        if (found.step, found.skipped) not in ((NEWEST, ()), (OLDER, (NEWEST,))):
            return UNNOTICED
        if not same(found.items, self.saved[found.step].items):
            return UNNOTICED
        return HARMLESS if found.step == NEWEST else FOUND


@pytest.fixture
def damaged(tmp_path):
    return Damaged(copy_of(SMALL, tmp_path / "w"))


def told(counts):
    return ", ".join(f"{counts[kind]} {kind}" for kind in (FOUND, HARMLESS, UNNOTICED))


@pytest.mark.parametrize("flips", [FEW, pytest.param(FLIPS, marks=pytest.mark.long)])
def test_a_bit_of_any_file(damaged, flips, record_property):
    generator = np.random.default_rng(flips)
    counts = Counter(
        damaged.outcome(damaged.files[generator.integers(len(damaged.files))], flipped, generator)
        for _ in range(flips)
    )
    record_property("faults", f"{flips} bit flips: {told(counts)}")
    assert counts[FOUND] + counts[HARMLESS] == flips
    # A few may all be in files that are not read, whose names are new each time.
    assert counts[FOUND] > 0 or flips == FEW


@pytest.mark.parametrize("how", [name for name in DAMAGES if name != "a bit"])
def test_files_are_damaged_in_other_ways(damaged, how, record_property):
    """The largest file of each item, and some others."""
    generator = np.random.default_rng(len(how))
    largest = sorted(damaged.files, key=lambda file: file.stat().st_size)[-2:]
    files = {*largest, *generator.choice(damaged.files, 6, replace=False)}
    counts = Counter(damaged.outcome(file, DAMAGES[how], generator) for file in sorted(files))
    record_property("faults", f"{counts.total()} files {how}: {told(counts)}")
    assert counts[UNNOTICED] == 0
    assert counts[FOUND] > 0


@pytest.mark.parametrize("part", ["model", "training", "digests", "_CHECKPOINT_METADATA"])
def test_a_part_is_gone_or_another_checkpoint_s(damaged, part):
    """As of a folder that was copied in the middle of saving."""
    newest, older = (damaged.directory / str(step) / part for step in (NEWEST, OLDER))
    harmless = part.startswith("_")
    for copied in (False, True):
        newest.rename(damaged.path / "aside")
        if copied and older.is_dir():
            shutil.copytree(older, newest)
        elif copied:
            shutil.copy(older, newest)
        found = checkpoint.restore(damaged.directory, *damaged.read_by)
        assert found is not None
        expected = (NEWEST, ()) if harmless else (OLDER, (NEWEST,))
        assert (found.step, found.skipped) == expected
        assert same(found.items, damaged.saved[found.step].items)
        shutil.rmtree(newest) if newest.is_dir() else newest.unlink(missing_ok=True)
        (damaged.path / "aside").rename(newest)


def test_the_older_one_under_the_newest_one_s_name(damaged):
    """It is whole, but not what this step had."""
    newest, older = (damaged.directory / str(step) for step in (NEWEST, OLDER))
    shutil.rmtree(newest)
    shutil.copytree(older, newest)
    found = checkpoint.restore(damaged.directory, *damaged.read_by)
    assert found is not None
    assert (found.step, found.skipped) == (OLDER, (NEWEST,))
    assert same(found.items, damaged.saved[OLDER].items)


def test_a_checkpoint_of_another_directory(damaged, tmp_path):
    """Of the same cells, seeds, shapes and step."""
    other = copy_of(SMALL, tmp_path / "other")
    config = rundir.read_config(other)
    (other / rundir.CONFIG).unlink()
    rundir.write_config(other, config)
    ((directory, (_, names)),) = templates_of(other).items()
    assert names != damaged.read_by[1]
    shutil.rmtree(directory / str(NEWEST))
    checkpoint.save(directory, NEWEST, damaged.saved[NEWEST].items, names)
    newest = damaged.directory / str(NEWEST)
    shutil.rmtree(newest)
    shutil.copytree(directory / str(NEWEST), newest)
    found = checkpoint.restore(damaged.directory, *damaged.read_by)
    assert found is not None
    assert (found.step, found.skipped) == (OLDER, (NEWEST,))


def test_runs_that_have_changed_places(damaged):
    """Slices of a directory whose checkpoints were swapped: the right shapes, of other seeds."""
    templates, names = damaged.read_by
    checkpoint.save(damaged.directory, NEWEST + 1, damaged.saved[NEWEST].items, names[::-1])
    found = checkpoint.restore(damaged.directory, templates, names)
    assert found is not None
    assert (found.step, found.skipped) == (NEWEST, (NEWEST + 1,))


@pytest.mark.long
def test_a_sweep_says_so_and_trains_again(damaged, capsys):
    path, (*_, largest) = damaged.path, sorted(damaged.files, key=lambda file: file.stat().st_size)
    (path / rundir.RESULTS).unlink()
    manifest = rundir.read_manifest(path)
    manifest["status"] = manifest["slices"][0]["status"] = "running"
    rundir.write_manifest(path, manifest)
    for file in damaged.files:
        if file.stat().st_size == largest.stat().st_size or "/d/" in str(file):
            file.write_bytes(flipped(file.read_bytes(), np.random.default_rng(0)))
    assert run_sweep(SMALL, path) == 0
    said = capsys.readouterr().out
    assert f"the checkpoint at step {NEWEST} is damaged; trained again" in said
    assert f"resuming from step {OLDER}" in said
    whole, _ = finished_run(SMALL)
    for name in (rundir.RESULTS, rundir.METRICS, rundir.SPECTRA, rundir.BLOCKS):
        assert (path / name).read_bytes() == (whole / name).read_bytes()
    assert run_report("--verify", path) == 0
