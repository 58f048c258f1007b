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


class StopRequest:
    """Remembers SIGINT or SIGTERM; a second one stops at once.

    Attributes:
        signal: the name of the signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal: str | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is not threading.main_thread():
            return self  # where Python lets nobody handle signals
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = signal.Signals(number).name
        print(f"\n{self.signal}: finishing the steps in hand, then saving ...", flush=True)
