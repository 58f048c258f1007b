"""A disk that is full: one line and exit code 74, nothing lost, and the same command goes on."""

import contextlib
import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from unittest import mock

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache
from runs import SMALL, finished_run

from mdvae import cli, report, sweep

# A device that takes nothing, as a full disk.
FULL = "/dev/full"
# More than the config and the manifest have, and less than checkpoints and metrics.
MIDDLE = 6_000
MORE = ("manifest.json", "report.md")


@contextlib.contextmanager
def largest_file(n_bytes):
    """No file may become longer than this, of the whole process; none of the compiled is kept."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    folder = jax.config.jax_compilation_cache_dir
    cached_in(None)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        cached_in(folder)


@contextlib.contextmanager
def no_room_for(name):
    """Files of this name do not fit any more, as the disk says where it is to keep them."""
    sync = os.fsync

    def full(file):
        if Path(os.readlink(f"/proc/self/fd/{file}")).name == f".{name}.tmp":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    with mock.patch.object(os, "fsync", full):
        yield


def cached_in(folder):
    """JAX looks once where compiled programs are kept."""
    jax.config.update("jax_compilation_cache_dir", folder)
    compilation_cache.reset_cache()


def exit_code(main, *argv):
    """Of a command as the shell sees it."""
    with (
        mock.patch.object(sys, "argv", ["command", *map(str, argv)]),
        pytest.raises(SystemExit) as caught,
    ):
        cli.run_command(main)
    return caught.value.code


def swept(path, *flags):
    return exit_code(sweep.main, f"--config={SMALL}", f"--workdir={path}", *flags)


def assert_undisturbed(path, apart=frozenset()):
    whole, _ = finished_run(SMALL)
    for file in whole.glob("*.*"):
        if file.name not in {"manifest.json", "config.json", *apart}:
            assert (path / file.name).read_bytes() == file.read_bytes(), file.name
    assert len(list((path / "figures").iterdir())) == len(list((whole / "figures").iterdir()))


def assert_said(err, file, why="No space left on device"):
    lines = err.strip().splitlines()
    assert lines[-1] == (
        f"error: {file}: cannot be written ({why}); make room, then give the same command again"
    )
    assert "Traceback" not in err


def test_a_checkpoint_that_does_not_fit(tmp_path, capsys):
    with largest_file(MIDDLE):
        assert swept(tmp_path / "w") == cli.UNWRITTEN
    folder = tmp_path / "w" / "checkpoints" / "group0-slice0"
    assert_said(capsys.readouterr().err, folder / "60", "File too large")
    assert list(folder.iterdir()) == []
    assert swept(tmp_path / "w") == 0
    assert_undisturbed(tmp_path / "w")


@pytest.mark.parametrize(
    "name", ["results.csv", *(pytest.param(name, marks=pytest.mark.long) for name in MORE)]
)
def test_a_file_that_does_not_fit(tmp_path, name, capsys):
    with no_room_for(name):
        assert swept(tmp_path) == cli.UNWRITTEN
    assert_said(capsys.readouterr().err, tmp_path / name)
    assert not list(tmp_path.glob(".*.tmp"))
    assert swept(tmp_path) == 0
    assert_undisturbed(tmp_path)


@pytest.mark.long
def test_metrics_in_the_middle(tmp_path, capsys):
    """A line that was cut short is written again."""
    with largest_file(MIDDLE):
        assert swept(tmp_path, "--config.log_every=1") == cli.UNWRITTEN
    assert_said(capsys.readouterr().err, tmp_path / "metrics.jsonl", "File too large")
    assert (tmp_path / "metrics.jsonl").stat().st_size == MIDDLE
    assert swept(tmp_path, "--config.log_every=1") == 0
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["seed"]) for row in rows] == [
        (step, seed) for step in range(1, 121) for seed in (0, 1)
    ]
    assert_undisturbed(tmp_path, {"metrics.jsonl", "report.md", "report.tex"})


def test_a_figure_of_a_report(tmp_path, capsys):
    assert swept(tmp_path) == 0
    (figure, *_) = sorted((tmp_path / "figures").iterdir())
    before = [file.read_bytes() for file in (figure, tmp_path / "results.csv")]
    with no_room_for(figure.name):
        assert exit_code(report.main, tmp_path) == cli.UNWRITTEN
    assert_said(capsys.readouterr().err, figure)
    assert [file.read_bytes() for file in (figure, tmp_path / "results.csv")] == before
    assert exit_code(report.main, tmp_path) == 0
    assert_undisturbed(tmp_path)


def test_a_file_that_may_not_be_read(capsys):
    """As of another user, which root never sees."""

    def refused(argv):
        raise PermissionError(errno.EACCES, "Permission denied", "/some/file")

    assert exit_code(refused) == cli.UNWRITTEN
    assert capsys.readouterr().err == (
        "error: /some/file: cannot be read or written (Permission denied); give the right to, then"
        " give the same command again\n"
    )


def test_the_output_of_a_command():
    """Nothing else is written at the exit of Python, nor another exit code."""
    command = [sys.executable, "-m", "mdvae.sweep", "--help"]
    with open(FULL, "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert_said(done.stderr, "the output")
    assert done.stderr.count("\n") == 1
    assert done.returncode == cli.UNWRITTEN
