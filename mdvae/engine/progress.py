"""Progress on a terminal or in a log, and stopping when asked to."""

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

from tqdm import tqdm

PLAIN_SECONDS = 10.0
# By which people and systems stop a process, and by which batch systems warn it before they do.
STOPS, WARNINGS = ("SIGINT", "SIGTERM"), ("SIGUSR1", "SIGUSR2")


class Progress:
    """A bar with rate and ETA on a terminal, a plain line every ten seconds otherwise."""

    def __init__(self, name: str, total: int, done: int):
        self._name, self._total, self._done, self._first = name, total, done, done
        self._started = self._printed = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=done, desc=name, unit="step", dynamic_ncols=True)

    def update(self, n_steps: int, note: str) -> None:
        """Says that n_steps more steps are done; `note` stands behind the rate."""
        self._done += n_steps
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(n_steps)
            return
        now = time.monotonic()
        if now - self._printed < PLAIN_SECONDS and self._done < self._total:
            return
        self._printed = now
        rate = (self._done - self._first) / max(now - self._started, 1e-9)
        left = (self._total - self._done) / max(rate, 1e-9)
        print(
            f"{self._name}: step {self._done:,}/{self._total:,}, {rate:,.0f} steps/s,"
            f" {left:,.0f} s left, {note}",
            flush=True,
        )

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()


def _asking() -> list[int]:
    """The signals that ask for a stop, of those that this system has.

    A SIGHUP that the process was started to ignore, as by nohup, is none.
    """
    names = [*STOPS, *WARNINGS]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        names.append("SIGHUP")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def _leave_terminal() -> None:
    """Where a terminal has gone, whoever prints would fail before what was trained is saved."""
    for file in (sys.stdout, sys.stderr):
        try:
            print(file=file, flush=True)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())


class StopRequest:
    """Remembers a signal that asks to stop; a second SIGINT or SIGTERM stops at once.

    Others are the warnings of batch systems and of terminals that go away, and may come twice.

    Attributes:
        signal: the name of the signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal: str | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is not threading.main_thread():
            return self  # where Python lets nobody handle signals
        for number in _asking():
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal is None:
            self.signal = signal.Signals(number).name
            if self.signal == "SIGHUP":
                _leave_terminal()
            print(f"\n{self.signal}: finishing the steps in hand, then saving ...", flush=True)
        elif signal.Signals(number).name in STOPS:
            os._exit(128 + number)
