"""A run directory that somebody else made: nothing outside of it is read, written or run."""

import os
import sys
import time

import jax
import numpy as np
import pytest
from runs import SMALL, copy_of, run_report, run_sweep

import mdvae
from mdvae.settings.fields import ConfigError
from mdvae.store import checkpoint, opening, records, rundir
from mdvae.store.lock import LOCK, lock_directory

TABLES = ("results.csv", "spectra.csv", "blocks.csv", "summary.csv")
READ = ("config.json", "manifest.json", "metrics.jsonl", *TABLES)
WRITTEN = ("report.md", "report.tex", "figures/spectra.png")
SLICE = "checkpoints/group0-slice0"


@pytest.fixture
def small(tmp_path):
    return copy_of(SMALL, tmp_path / "small")


@pytest.fixture
def outside(tmp_path):
    """A folder of the reader's own."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "file").write_text("mine\n")
    return folder


def opened(path):
    """All that `load_run` reads."""
    run = mdvae.load_run(path)
    assert run.blocks
    assert run.mean_spectra
    return run


def refusal(act, *arguments):
    """The one line by which something is refused, before long."""
    started = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        act(*arguments)
    assert time.monotonic() - started < 60
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def is_outside(file, path):
    return (
        f"{file}: is a link to outside of {path}, which is not followed; put what it leads to in"
        " its place"
    )


@pytest.mark.parametrize("name", READ)
def test_a_link_to_outside_is_not_read(small, outside, name):
    """Not even where what is there would do."""
    (small / name).rename(outside / name)
    (small / name).symlink_to(outside / name)
    assert refusal(opened, small) == is_outside(small / name, small)
    if name != "blocks.csv":  # which reports do not read
        assert refusal(run_report, small) == is_outside(small / name, small)


@pytest.mark.parametrize("name", READ)
def test_a_link_to_inside_is_read(small, name):
    (small / "kept").mkdir()
    (small / name).rename(small / "kept" / name)
    (small / name).symlink_to(os.path.join("kept", name))
    opened(small)


def test_the_directory_itself_may_be_a_link(small, tmp_path):
    (tmp_path / "link").symlink_to(small)
    assert opened(tmp_path / "link").results == opened(small).results
    assert run_report("--verify", tmp_path / "link") == 0
    assert run_report(tmp_path / "link") == 0


@pytest.mark.parametrize("name", READ)
def test_a_pipe_is_not_waited_for(small, name):
    (small / name).unlink()
    os.mkfifo(small / name)
    assert refusal(opened, small) == (
        f"{small / name}: is no file; it must be a regular one, or not there"
    )


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("target", ["/dev/zero", "/dev/stdin"])
def test_a_device_is_not_read(small, name, target):
    (small / name).unlink()
    (small / name).symlink_to(target)
    assert "is a link to outside" in refusal(opened, small)


@pytest.mark.parametrize("name", READ)
def test_a_link_to_itself_is_refused(small, name):
    (small / name).unlink()
    (small / name).symlink_to(name)
    assert f"{small / name}: " in refusal(opened, small)


@pytest.mark.parametrize("name", READ)
def test_a_folder_in_the_place_of_a_file(small, name):
    (small / name).unlink()
    (small / name).mkdir()
    assert f"{small / name}: is no file" in refusal(opened, small)


@pytest.mark.parametrize("name", READ)
def test_a_file_larger_than_memory(small, name):
    """Sparse: it takes up no room, and would be read as zeros."""
    os.truncate(small / name, 2**40)
    said = refusal(opened, small)
    largest = "is larger than 64 MiB" if name.endswith(".json") else "is longer than 1 MiB"
    assert str(small / name) in said
    assert largest in said


def test_deep_values(small):
    """More brackets than Python can follow."""
    (small / "manifest.json").write_text("[" * 200_000)
    assert "manifest.json: cannot be read" in refusal(opened, small)
    (small / "manifest.json").write_text("{}")
    with open(small / "metrics.jsonl", "a") as file:
        file.write("[" * 200_000 + "\n")
    opened(small)  # a line that cannot be read is left out


@pytest.mark.parametrize("name", [*WRITTEN, f".{WRITTEN[0]}.tmp"])
def test_a_report_writes_through_no_link(small, outside, name):
    """What a link of the directory leads to stays as it is, and the report is whole."""
    (small / name).unlink(missing_ok=True)
    (small / name).symlink_to(outside / "file")
    assert run_report(small, figures="figures" in name) == 0
    assert (outside / "file").read_text() == "mine\n"
    assert not (small / name).is_symlink()
    assert os.listdir(outside) == ["file"]


def test_figures_are_drawn_in_no_other_folder(small, outside):
    for file in (small / "figures").iterdir():
        file.unlink()
    (small / "figures").rmdir()
    (small / "figures").symlink_to(outside)
    said = refusal(lambda: run_report(small, figures=True))
    assert said == is_outside(small / "figures", small)
    assert os.listdir(outside) == ["file"]


def test_metrics_are_added_to_no_other_file(tmp_path, outside):
    (tmp_path / "metrics.jsonl").symlink_to(outside / "file")
    said = refusal(rundir.append_metrics, tmp_path, [{"cell": "a", "seed": 0, "step": 1}])
    assert said.startswith(f"{tmp_path / 'metrics.jsonl'}: is no file")
    assert (outside / "file").read_text() == "mine\n"


@pytest.mark.parametrize("target", ["file", "new"])
def test_a_lock_is_no_other_file(small, outside, target):
    (small / LOCK).unlink(missing_ok=True)
    (small / LOCK).symlink_to(outside / target)
    assert f"{small / LOCK}: is no file" in refusal(run_sweep, SMALL, small)
    assert f"{small / LOCK}: is no file" in refusal(lock_directory(small).__enter__)
    assert (outside / "file").read_text() == "mine\n"
    assert os.listdir(outside) == ["file"]


def test_a_lock_is_no_pipe(small):
    (small / LOCK).unlink(missing_ok=True)
    os.mkfifo(small / LOCK)
    assert f"{small / LOCK}: is no file" in refusal(run_sweep, SMALL, small)


@pytest.mark.parametrize("place", ["checkpoints", SLICE, f"{SLICE}/120", f"{SLICE}/120/model"])
def test_checkpoints_are_read_from_no_other_folder(small, outside, place, capsys):
    (small / place).rename(outside / "moved")
    (small / place).symlink_to(outside / "moved")
    run = mdvae.load_run(small)
    said = refusal(run.params, run.cells[0], 0)
    assert "is a link to outside of" in said
    assert run_report("--verify", small) == 1
    assert f"error: {said}" in capsys.readouterr().err


def test_checkpoints_are_written_to_no_other_folder(tmp_path, outside):
    path = tmp_path / "run"
    path.mkdir()
    (path / "checkpoints").symlink_to(outside)
    directory = rundir.slice_directory(path, 0, 0)
    said = refusal(checkpoint.save, directory, 1, {"model": {"w": np.ones((2, 3))}})
    assert "is a link to outside of" in said
    assert os.listdir(outside) == ["file"]


def test_a_checkpoint_with_a_pipe(small):
    file = next(file for file in sorted((small / SLICE / "120/model").rglob("*")) if file.is_file())
    file.unlink()
    os.mkfifo(file)
    run = mdvae.load_run(small)
    assert refusal(run.params, run.cells[0], 0) == (f"{file}: is no file; it must be a regular one")


@pytest.mark.parametrize("shape", [(10**7, 2), (10**4, 10**6)])
def test_a_checkpoint_that_claims_more_than_it_has(tmp_path, shape, monkeypatch):
    """It is zeros that take up no room; nothing of it is read."""
    directory = rundir.slice_directory(tmp_path, 0, 0)
    few = {"w": np.zeros((2, shape[1] if shape[1] < 10 else 2), np.float32)}
    checkpoint.save(directory, 1, {"model": few}, ("a", "b"))
    claim = jax.ShapeDtypeStruct(shape, np.float32)
    item_metadata = checkpoint.ocp.CheckpointManager.item_metadata

    def claimed(self, step):
        found = item_metadata(self, step)
        jax.tree.leaves(found["model"])[0].shape = claim.shape
        return found

    def never(*_, **__):
        raise AssertionError("it was read")

    monkeypatch.setattr(checkpoint.ocp.CheckpointManager, "item_metadata", claimed)
    monkeypatch.setattr(checkpoint.ocp.CheckpointManager, "restore", never)
    monkeypatch.setattr(checkpoint.np, "zeros", lambda shape, *_: np.empty((0, *shape[1:])))
    with pytest.raises(checkpoint.DamagedError):
        checkpoint.restore(directory, {"model": few}, ("a", "b"))


def test_a_stage_is_in_no_other_folder(small, outside, capsys):
    stage = copy_of(SMALL, outside / "stage")
    (small / "second").symlink_to(stage)
    said = refusal(run_report, "--verify", small)
    assert said == is_outside(small / "second", small)


def test_no_code_of_the_directory_is_run(small, monkeypatch):
    """Nor is a module of Python itself imported, which may open windows or wait for somebody."""
    (small / "own_kinds.py").write_text("raise AssertionError('it was run')\n")
    monkeypatch.setattr(sys, "path", [str(small), *sys.path])
    text = (small / "config.json").read_text()
    for kind in ("own_kinds:x", "this:x"):
        (small / "config.json").write_text(text.replace('"kind": "mlp"', f'"kind": "{kind}"'))
        assert f"kind: {kind!r} is" in refusal(opened, small)
        assert kind.partition(":")[0] not in sys.modules


def test_nothing_is_unpickled(small, monkeypatch):
    """Of all files that a directory has, by whoever would."""
    import pickle

    def never(*_, **__):
        raise AssertionError("unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, never)
    run = opened(small)
    run.params(run.cells[0], 0)
    assert run_report("--verify", small) == 0


@pytest.mark.parametrize("line", ["a" * 2**21, '"' + "a\n" * 200_000])
def test_long_lines_of_tables(tmp_path, line):
    (tmp_path / "a.csv").write_text(f"x,y\n1,{line}\n")
    assert f"{tmp_path / 'a.csv'}: line " in refusal(records.read_csv, tmp_path / "a.csv")


def test_a_file_that_is_replaced_keeps_others(tmp_path, outside):
    """A second name of a file of the reader's is given up, not written to."""
    os.link(outside / "file", tmp_path / "a")
    with opening.replacing(tmp_path / "a") as file:
        file.write(b"new")
    assert (outside / "file").read_text() == "mine\n"
    assert (tmp_path / "a").read_text() == "new"
