"""The sweep command in processes that begin at once, and what they leave behind.

A server that has imported mdvae, and in which JAX has not begun, forks them: a real process each,
to be killed by real signals, without the seconds that imports last.
"""

import contextlib
import fcntl
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import methods
import numpy as np
from runs import run_report

import mdvae
from mdvae import cli, interrupts, sweep, training
from mdvae.engine import progress, runner, trainer
from mdvae.engine.runner import to_items
from mdvae.engine.trainer import template_of
from mdvae.methods.base import make_method
from mdvae.settings.grid import make_cells, make_groups
from mdvae.settings.registry import SECTIONS
from mdvae.store import checkpoint, leftovers, rundir

HANGS = 600.0
OUTPUT, PHASES, ASKED = "output.txt", "phases.txt", "asked"
# What is watched of a command: where it is, what it is called by, and what the time after it is.
WATCHED = (
    (sweep, "describe_machine", "start", "start"),
    (runner.checkpoint, "restore", "resume", "start"),
    (trainer.Trainer, "chunk", "train", "log"),
    (runner.checkpoint, "save", "save", "log"),
    (leftovers, "remove_old", "prune", "save"),
    (trainer.Trainer, "evaluate", "evaluate", "results"),
    (training, "save_results", "results", "results"),
    (sweep, "measure_samples", "report", "report"),
    (sweep, "write_report", "report", "report"),
    (progress.StopRequest, "_note", ASKED, ASKED),
)
ORDER = (
    *("start", "resume", "compile", "train", "log", "save", "prune", "evaluate", "results"),
    "report",
)


@cache
def _server() -> Any:
    """A server for this process, with all modules that a sweep may need."""
    for registry in SECTIONS.values():
        registry.names()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(sorted(each for each in sys.modules if each[:6] == "mdvae."))
    return context


class At(NamedTuple):
    """Signals that a command sends itself as it begins something for the first time.

    Without any it waits there until it is asked to stop.
    """

    phase: str
    signals: tuple[int, ...]


def _watch(log: Path, at: At | None) -> contextlib.ExitStack:
    """Writes down, as it begins, what the command is doing; the first steps are compiled."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    began = Counter()

    def watched(function: Callable, during: str, after: str) -> Callable:
        def called(*args: Any, **kwargs: Any) -> Any:
            phase = "compile" if during == "train" and not began["compile"] else during
            began[phase] += 1
            os.write(file, f"{phase}\n".encode())
            if at is not None and at.phase == phase and began[phase] == 1:
                for number in at.signals:
                    signal.raise_signal(number)
                while not at.signals and not began[ASKED]:
                    time.sleep(0.01)
            result = function(*args, **kwargs)
            os.write(file, f"{after}\n".encode())
            return result

        return called

    stack = contextlib.ExitStack()
    for owner, name, during, after in WATCHED:
        function = watched(getattr(owner, name), during, after)
        stack.enter_context(mock.patch.object(owner, name, function))
    return stack


def _sweep(
    name: str, path: Path, log: Path, package: str, terminal: str | None, at: At | None
) -> None:
    """The command, as `python -m mdvae.sweep` runs it, on one device and without figures."""
    assert mdvae.__file__ == package
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where tests were started by nohup
    interrupts.end_in_one_line()
    if terminal is None:
        output = os.open(log / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    else:
        os.setsid()
        output = os.open(terminal, os.O_RDWR)  # its own: as it goes away there is a SIGHUP
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output, stream.fileno())
    # Not what tests share: a file that is being written may be cut off here.
    jax.config.update("jax_compilation_cache_dir", str(_folder() / "compiled"))
    with (
        _watch(log / PHASES, at),
        mock.patch("mdvae.reports.report._draw", return_value=[]),
        mock.patch.object(cli, "load_config", return_value=methods.config_of(name)),
    ):
        sys.argv = ["sweep", f"--config={methods.__file__}", f"--workdir={path}", "--devices=1"]
        cli.run_command(sweep.main)


def _folder() -> Path:
    return Path(os.environ["MDVAE_TESTS_FOLDER"]) / "killed"


class Child(NamedTuple):
    """A command that has begun.

    Attributes:
        log: the folder of its output, and of what it did last.
    """

    process: ForkServerProcess
    log: Path

    def wait(self) -> None:
        """Returns as soon as it has taken up signals, as a command does before its imports."""
        while not (self.log / PHASES).exists() and self.process.exitcode is None:
            time.sleep(0.01)

    def reach(self, n: int) -> None:
        """Returns as soon as it has begun n things, or has ended."""
        while len(self.phases()) < n and self.process.exitcode is None:
            time.sleep(0.005)

    def ended(self, seconds: float | None = None) -> int | None:
        """The exit code, as soon as there is one, or None after so many seconds.

        By default so many that only one that hangs takes them; it is then killed.
        """
        self.process.join(HANGS if seconds is None else seconds)
        code = self.process.exitcode
        if code is None and seconds is None:
            self.process.kill()
        return code

    def send(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.process.pid is not None and self.process.exitcode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    def phases(self) -> list[str]:
        """What it has begun, one after another."""
        file = self.log / PHASES
        return file.read_text().split() if file.is_file() else []

    def phase(self) -> str:
        """What it was doing last."""
        return (self.phases() or [ORDER[0]])[-1]

    def said(self) -> str:
        """What it and its predecessors in the same log have printed."""
        return (self.log / OUTPUT).read_text()


def start(name: str, path: Path, terminal: str | None = None, at: At | None = None) -> Child:
    """The command for a method in a run directory, with a log beside it.

    Args:
        terminal: on which it runs; otherwise there is a file of its output.
        at: where it sends itself signals.
    """
    log = path.with_name(f"{path.name}-log")
    log.mkdir(exist_ok=True)
    (log / PHASES).unlink(missing_ok=True)
    arguments = (name, path, log, mdvae.__file__, terminal, at)
    process = _server().Process(target=_sweep, args=arguments)
    process.start()
    return Child(process, log)


def finish(name: str, path: Path) -> Child:
    """Runs the command to its end."""
    child = start(name, path)
    code = child.ended()
    assert code == 0, child.said()
    return child


class Whole(NamedTuple):
    """A finished run directory of a method, which nobody has disturbed.

    Attributes:
        seconds: how long the command takes, where nothing is left to compile.
        phases: what it does, one after another.
    """

    path: Path
    seconds: float
    phases: list[str]


@cache
def undisturbed(name: str) -> Whole:
    """That of a method; the first worker that asks makes it, and others wait."""
    folder = _folder()
    folder.mkdir(exist_ok=True)
    path, again, took = (folder / f"{name}{end}" for end in ("", "-again", ".seconds"))
    with open(folder / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not took.exists():
            for each in (path, again):
                shutil.rmtree(each, ignore_errors=True)  # of a worker that failed
            finish(name, path)  # compiles, which the others need not
            started = time.monotonic()
            finish(name, again)
            seconds = time.monotonic() - started
            assert_undisturbed(again, path)
            took.write_text(str(seconds))
    phases = (folder / f"{name}-log" / PHASES).read_text().split()
    return Whole(path, float(took.read_text()), phases)


def arrays(path: Path) -> dict[tuple[str, int, str], np.ndarray]:
    """All arrays of all checkpoints, whole ones, by slice, step and name."""
    found = {}
    for directory, (templates, names) in templates_of(path).items():
        for step in sorted(each.name for each in directory.iterdir() if each.name.isdigit()):
            (_, items), *_ = (
                each
                for each in checkpoint.read_steps(directory, templates, names)
                if each[0] == int(step)
            )
            assert items is not None, f"{directory / step} is damaged"
            for place, leaf in jax.tree_util.tree_leaves_with_path(items):
                found[directory.name, int(step), jax.tree_util.keystr(place)] = leaf
    return found


def templates_of(path: Path) -> dict[Path, tuple[dict[str, Any], list[str]]]:
    """What the checkpoints of each slice of a run directory are read by: templates and names."""
    config, manifest = rundir.read_config(path), rundir.read_manifest(path)
    groups = make_groups(make_cells(config), config.group_by)
    found = {}
    for (group, index), runs in rundir.runs_of_slices(manifest).items():
        template = template_of(make_method(groups[group], config.steps), groups[group], len(runs))
        directory = rundir.slice_directory(path, group, index)
        found[directory] = to_items(template), rundir.run_names(path, runs)
    return found


def texts(path: Path) -> dict[str, str]:
    """The files of a run directory that are no business of the machine's."""
    files = [each for each in path.iterdir() if each.is_file() and not each.name.startswith(".")]
    found = {each.name: each.read_text() for each in files}
    found[rundir.CONFIG] = re.sub(rf'"{rundir.ID}": "\w+"', "", found[rundir.CONFIG])
    found["report.md"] = re.sub(r"training took [\d,]+ s", "", found["report.md"])
    del found[rundir.MANIFEST]
    return found


def assert_undisturbed(path: Path, whole: Path) -> None:
    """A run directory is bit for bit another one, and whole."""
    mine, theirs = texts(path), texts(whole)
    assert mine.keys() == theirs.keys()
    for name, text in theirs.items():
        assert mine[name] == text, f"{path / name} differs"
    assert rundir.read_manifest(path)["status"] == "done"
    mine, theirs = arrays(path), arrays(whole)
    # Who was asked to stop has saved once more, and so keeps other ones of those before the last.
    last = {key for key in theirs if key[1] == methods.STEPS}
    assert last
    assert mine.keys() >= last
    for key in mine.keys() & theirs.keys():
        assert mine[key].tobytes() == theirs[key].tobytes(), f"{path}: {key} differs"
    assert run_report("--verify", path) == 0
