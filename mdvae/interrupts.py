"""Signals where a command has nothing to save: Ctrl-C ends it at once, in one line.

A command takes this up before its imports, which last for seconds. A KeyboardInterrupt would be no
way out: what runs at that moment (an import, a compiler's callback, a destructor) prints it, or
swallows it. Training notes the signal instead, and saves; see `engine.progress`. So it does of the
signals by which batch systems warn of a limit, of which a process that does not know them dies.
"""

import contextlib
import os
import signal
import sys
from types import FrameType

EXIT_CODE = 128 + signal.SIGINT
STDERR = 2
# Systems other than POSIX have none.
WARNINGS = ("SIGUSR1", "SIGUSR2")


def end_in_one_line() -> None:
    """From now on SIGINT ends the process, unless whoever started it has it ignored.

    SIGUSR1 and SIGUSR2 do nothing.
    """
    for name in WARNINGS:
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_DFL:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def _end(number: int, frame: FrameType | None) -> None:
    # A file is replaced whole or not at all, so that nothing is left to be tidied up. Python's own
    # buffers refuse to be written to where the signal came amid writing them.
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        os.write(STDERR, b"interrupted\n")
    os._exit(EXIT_CODE)
