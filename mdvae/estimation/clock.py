"""How long an estimate takes, over all processes that work on it."""

import contextlib
import math
import threading
import time
from pathlib import Path

from mdvae.store.rundir import write_atomic

# Between two times that the total is written: so much is lost where a process is killed.
BEAT = 5.0


def _read(file: Path) -> float:
    """Seconds of a file; none where it has none that can be used."""
    try:
        found = float(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0.0
    return found if math.isfinite(found) and found > 0 else 0.0


class Clock:
    """Counts on from what a file has, and keeps the total there while a `with` lasts.

    The time from the last beat of a process that was killed is lost, and that between processes
    does not count.
    """

    def __init__(self, file: Path):
        self._file = file
        self._before, self._started = _read(file), time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    @property
    def seconds(self) -> float:
        """Of all processes, until now."""
        return self._before + time.monotonic() - self._started

    def __enter__(self) -> "Clock":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._write()

    def _write(self) -> None:
        # Nothing else fails where only the time is lost.
        with contextlib.suppress(OSError):
            write_atomic(self._file, f"{self.seconds:.1f}\n")

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            self._write()
