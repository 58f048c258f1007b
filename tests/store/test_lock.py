"""The lock of a run directory, held by real processes that live or die."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from mdvae.settings.fields import ConfigError
from mdvae.store import lock
from mdvae.store.lock import LOCK, lock_directory

HOLD = """
import sys, time
from pathlib import Path
from mdvae.store.lock import lock_directory
with lock_directory(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the directory."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def refusal(path):
    with pytest.raises(ConfigError) as error, lock_directory(path):
        pass
    assert "\n" not in str(error.value)
    return str(error.value)


def test_another_process_is_named_and_its_note_kept(tmp_path, other):
    who = f"process {other.pid} on host {socket.gethostname()}"
    wanted = f"workdir: {tmp_path} is in use by {who}; wait for it, or give another"
    # Twice: a refusal leaves the note as it is.
    assert refusal(tmp_path) == wanted
    assert refusal(tmp_path) == wanted


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, other):
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert json.loads((tmp_path / LOCK).read_text())["process"] == other.pid
    with lock_directory(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["process"] == os.getpid()
    assert (tmp_path / LOCK).read_text() == ""
    with lock_directory(tmp_path):
        pass


@pytest.mark.parametrize("note", [b"", b"{", b"[1]", b'{"host": "a"}', b"\xff" * 5_000])
def test_a_note_that_is_none_names_nobody(tmp_path, monkeypatch, note):
    (tmp_path / LOCK).write_bytes(note)

    def taken(file, how):
        raise BlockingIOError(errno.EAGAIN, "taken")

    monkeypatch.setattr(lock.fcntl, "flock", taken)
    assert "is in use by another process; wait for it" in refusal(tmp_path)


@pytest.fixture
def no_locks(monkeypatch):
    """A file system without locks, as some network ones are."""

    def unsupported(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", unsupported)


def write_note(path, host, process):
    (path / LOCK).write_text(json.dumps({"host": host, "process": process}))


def test_without_locks_a_living_process_of_this_host_keeps_others_out(tmp_path, no_locks, other):
    write_note(tmp_path, socket.gethostname(), other.pid)
    assert f"is in use by process {other.pid} on host" in refusal(tmp_path)
    other.kill()
    other.wait()
    write_note(tmp_path, socket.gethostname(), other.pid)
    with lock_directory(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["process"] == os.getpid()


def test_without_locks_another_host_is_named(tmp_path, no_locks, capsys):
    write_note(tmp_path, "elsewhere", 7)
    with lock_directory(tmp_path):
        pass
    said = capsys.readouterr().out
    assert "cannot be locked (No locks available); going on without" in said
    assert "process 7 on host elsewhere may be in it" in said
    # It stays the holder, so that the next one is told too.
    assert json.loads((tmp_path / LOCK).read_text()) == {"host": "elsewhere", "process": 7}
