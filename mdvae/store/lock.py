"""The lock of a run directory: who holds it, so that two processes never train in it at once."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None

from mdvae.settings.fields import ConfigError
from mdvae.store import opening

LOCK = ".lock"
# Of a note, so that a file that is none is not read as a whole.
LONGEST_NOTE = 1_000


def _holder(file: Any) -> dict[str, Any]:
    """Host and process of the note in a lock; {} where there is none."""
    file.seek(0)
    try:
        note = json.loads(file.read(LONGEST_NOTE))
        return {"host": str(note["host"]), "process": int(note["process"])}
    except (ValueError, KeyError, TypeError):
        return {}


def _is_alive(process: int) -> bool:
    """Whether a process of this host is there, whoever it belongs to."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _in_use(path: Path, holder: dict[str, Any]) -> ConfigError:
    who = "another process"
    if holder:
        who = f"process {holder['process']} on host {holder['host']}"
    return ConfigError(f"workdir: {path} is in use by {who}; wait for it, or give another")


@contextlib.contextmanager
def lock_directory(path: Path) -> Iterator[None]:
    """Holds a run directory, on one host or on several that share a file system.

    The lock is the system's, which lets go of it when a process dies, however that may be. The file
    says beside it who holds it. Where a file system has no locks, only that is looked at: a living
    process of this host keeps others out, and one of another host is named and left as the holder.
    Systems other than POSIX have no check.

    Raises:
        ConfigError: where another process holds it; it is named.
    """
    how = {"mode": "a+", "encoding": "utf-8", "errors": "replace"}
    with opening.adding(path / LOCK, os.O_RDWR | os.O_APPEND, **how) as file:
        is_mine = True
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:
                raise _in_use(path, _holder(file)) from error
            except OSError as error:
                is_mine = _without_locks(path, _holder(file), error)
        if not is_mine:
            yield
            return
        note = {"host": socket.gethostname(), "process": os.getpid()}
        _write(file, json.dumps(note))
        try:
            yield
        finally:
            _write(file, "")


def _write(file: Any, text: str) -> None:
    """Replaces the note; a disk that is full has none, and the lock holds without."""
    with contextlib.suppress(OSError):
        file.seek(0)
        file.truncate()
        file.write(text)
        file.flush()


def _without_locks(path: Path, holder: dict[str, Any], error: OSError) -> bool:
    """Goes on without a lock unless a living process of this host is there.

    Returns:
        Whether the note is free: not that of a process of another host, of which nothing is known.

    Raises:
        ConfigError: where one is.
    """
    here = holder.get("host") == socket.gethostname()
    if here and holder["process"] != os.getpid() and _is_alive(holder["process"]):
        raise _in_use(path, holder) from error
    note = ""
    if holder and not here:
        note = f"; process {holder['process']} on host {holder['host']} may be in it"
    print(f"warning: {path} cannot be locked ({error.strerror}); going on without{note}")
    return not note
