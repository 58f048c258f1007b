"""Signals at any moment: saved where there is something to save, and the directory goes on."""

import contextlib
import itertools
import os
import pty
import signal
from collections import Counter

import children
import numpy as np
import pytest
from children import ASKED, At

from mdvae import cli, interrupts
from mdvae.engine.progress import StopRequest
from mdvae.store import rundir

NAME, SIGNALS, MORE = "vae", 6, 2
# What ends a command where nothing is to be saved, and by which exit code.
ENDING = {
    signal.SIGINT: interrupts.EXIT_CODE,
    signal.SIGTERM: -signal.SIGTERM,
    signal.SIGHUP: -signal.SIGHUP,
}
WARNING = (signal.SIGUSR1, signal.SIGUSR2)
ASKING = (*ENDING, *WARNING)
UNSAVED = ("start", "results", "report")


@pytest.fixture(autouse=True)
def _hangs_up():
    """As without nohup, however the tests were started."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before or signal.SIG_DFL)


def assert_saved(child, path, number):
    """It has begun no further steps, and what it had taken is in its newest checkpoint."""
    phases, said = child.phases(), child.said()
    assert sum(each in ("compile", "train") for each in phases[phases.index(ASKED) :]) <= 1
    name = signal.Signals(number).name
    assert f"{name}: finishing the steps in hand, then saving ..." in said
    assert said.splitlines()[-1].startswith(f"stopped by {name}; saved. To go on: ")
    assert_whole(path)


def assert_whole(path):
    """Of a directory that was left by exit code 75."""
    manifest = rundir.read_manifest(path)
    assert manifest["status"] == "interrupted"
    for entry in manifest["slices"]:
        directory = rundir.slice_directory(path, entry["group"], entry["slice"])
        steps = [int(each.name) for each in directory.glob("*") if each.name.isdigit()]
        assert max(steps, default=0) == entry["step"]


def signalled_often(number, signals, folder):
    """Signals and starts again, in as many directories as it takes; counts by exit code."""
    whole = children.undisturbed(NAME)
    generator = np.random.default_rng(int(number))
    counts, paths = Counter(), (folder / f"{NAME}{i}" for i in itertools.count())
    path = next(paths)
    while counts.total() < signals:
        child = children.start(NAME, path)
        child.wait()
        code = child.ended(generator.uniform(0, whole.seconds))
        if code is None:
            child.send(number)
            code = child.ended()
            counts[code] += 1
        if code == cli.INTERRUPTED:
            assert_saved(child, path, number)
        elif code != 0:
            assert code == ENDING.get(number), child.said()
            assert child.phase() in UNSAVED
        else:
            children.assert_undisturbed(path, whole.path)
            path = next(paths)
    children.finish(NAME, path)
    children.assert_undisturbed(path, whole.path)
    return counts


@pytest.mark.long
@pytest.mark.parametrize("number", ASKING, ids=lambda number: number.name)
def test_at_any_moment(number, tmp_path, record_property):
    signals = SIGNALS if number in (signal.SIGTERM, signal.SIGINT) else MORE
    counts = signalled_often(number, signals, tmp_path)
    codes = ", ".join(f"exit {code}: {counts[code]}" for code in sorted(counts))
    record_property("faults", f"{number.name}: {signals} ({codes})")


def signalled(path, phase, *numbers):
    """The command, which sends itself signals where a phase begins, at its end; the exit code."""
    child = children.start(NAME, path, at=At(phase, numbers))
    code = child.ended()
    assert child.phases(), child.said()
    assert "Traceback" not in child.said()
    return child, code


@pytest.mark.long
def test_one_after_another_in_one_directory(tmp_path):
    path = tmp_path / NAME
    child, code = signalled(path, "start", signal.SIGTERM)
    assert (code, child.phases()) == (-signal.SIGTERM, ["start"])
    child, code = signalled(path, "train", signal.SIGTERM, signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    assert "stopped by" not in child.said()
    assert rundir.read_manifest(path)["status"] == "running"
    child, code = signalled(path, "train", signal.SIGUSR1, signal.SIGUSR1)
    assert code == cli.INTERRUPTED, child.said()
    assert_saved(child, path, signal.SIGUSR1)
    child, code = signalled(path, "report", *WARNING)
    assert code == 0, child.said()
    children.assert_undisturbed(path, children.undisturbed(NAME).path)


@pytest.mark.long
@pytest.mark.parametrize("phase", ["train", "save", "evaluate"])
def test_a_second_ctrl_c_leaves_at_once(phase, tmp_path):
    path = tmp_path / NAME
    child, code = signalled(path, phase, signal.SIGINT, signal.SIGINT)
    assert code == interrupts.EXIT_CODE
    assert child.phases()[-1] == ASKED
    assert rundir.read_manifest(path)["status"] == "running"
    children.finish(NAME, path)
    children.assert_undisturbed(path, children.undisturbed(NAME).path)


@pytest.mark.long
def test_a_warning_before_there_is_anything_to_save(tmp_path):
    child, code = signalled(tmp_path / NAME, "start", *WARNING)
    assert code == 0, child.said()
    assert ASKED not in child.phases()


@pytest.mark.long
def test_ctrl_c_before_there_is_anything_to_save(tmp_path):
    child, code = signalled(tmp_path / NAME, "start", signal.SIGINT)
    assert (code, child.phases()) == (interrupts.EXIT_CODE, ["start"])
    assert child.said().splitlines()[-1] == "interrupted"


@pytest.mark.long
def test_a_terminal_that_goes_away_while_training(tmp_path):
    """Nothing can be printed any more, and it is saved."""
    path = tmp_path / NAME
    own, its = pty.openpty()
    child = children.start(NAME, path, terminal=os.ttyname(its), at=At("train", ()))
    os.set_blocking(own, False)
    while "train" not in child.phases() and child.ended(0.1) is None:
        with contextlib.suppress(BlockingIOError):
            os.read(own, 10_000)
    os.close(its)
    os.close(own)
    assert child.ended() == cli.INTERRUPTED
    assert_whole(path)
    children.finish(NAME, path)
    children.assert_undisturbed(path, children.undisturbed(NAME).path)


@pytest.fixture
def left(monkeypatch):
    """The exit codes by which the process would have ended at once."""
    found = []
    monkeypatch.setattr("mdvae.engine.progress.os._exit", found.append)
    return found


@pytest.mark.parametrize("number", ASKING, ids=lambda number: number.name)
def test_a_request_is_remembered_and_handlers_come_back(number, left, capsys):
    before = [signal.getsignal(each) for each in ASKING]
    with StopRequest() as stop:
        assert stop.signal is None
        signal.raise_signal(number)
        assert stop.signal == number.name
        assert f"{number.name}: finishing the steps in hand" in capsys.readouterr().out
        signal.raise_signal(signal.SIGUSR1)
        assert (stop.signal, left) == (number.name, [])
        signal.raise_signal(signal.SIGTERM)
        assert left == [128 + signal.SIGTERM]
    assert [signal.getsignal(each) for each in ASKING] == before


def test_under_nohup_a_hang_up_is_none():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.signal is None
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", WARNING, ids=lambda number: number.name)
def test_a_handler_of_the_caller_for_warnings_stays(number):
    before = [signal.getsignal(each) for each in (signal.SIGINT, *WARNING)]
    try:
        signal.signal(number, print)
        interrupts.end_in_one_line()
        assert signal.getsignal(number) is print
        signal.signal(number, signal.SIG_DFL)
        interrupts.end_in_one_line()
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        for each, handler in zip((signal.SIGINT, *WARNING), before, strict=True):
            signal.signal(each, handler)
