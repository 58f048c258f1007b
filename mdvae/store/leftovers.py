"""What saves leave in a folder of checkpoints that is no checkpoint: parts, and old steps."""

import shutil
import time
from pathlib import Path

import jax

# Of a step that Orbax has not finished.
_UNFINISHED = ".orbax-checkpoint-tmp"
# Where a step that is no longer kept goes at once, before its files are removed one by one: what is
# left of them by a kill would look like a step that is damaged.
OLD = f"old{_UNFINISHED}"
# Orbax's threads may go on writing for a moment after one of them has failed.
_TRIES, _PAUSE_SECONDS = 40, 0.05


def remove(directory: Path) -> None:
    """Removes what saves that failed, or were killed, have left; it takes up room.

    Where there are other processes, which may be writing there, only old steps.
    """
    if jax.process_count() > 1:
        remove_old(directory)
        return
    for _ in range(_TRIES):
        left = list(directory.glob(f"*{_UNFINISHED}*"))
        if not left:
            return
        for part in left:
            shutil.rmtree(part, ignore_errors=True)
        time.sleep(_PAUSE_SECONDS)


def remove_old(directory: Path) -> None:
    """Removes the steps in OLD, which no process reads or writes; the first one does it for all."""
    if jax.process_index() == 0:
        shutil.rmtree(directory / OLD, ignore_errors=True)
