"""Checkpoints: the only module that knows Orbax."""

import logging
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

PyTree = Any
KEEP = 2

# Orbax warns on every opening for reading that it was opened for reading.
logging.getLogger("absl").addFilter(
    lambda record: not re.search(r"read[_ ]only", record.getMessage())
)


class DamagedError(RuntimeError):
    """There are checkpoints, but none can be read; one line."""


class Restored(NamedTuple):
    """A restored checkpoint.

    Attributes:
        step: at which it was saved.
        state: of the template's structure, NumPy leaves.
        skipped: newer steps that could not be read.
    """

    step: int
    state: PyTree
    skipped: tuple[int, ...]


def _manager(directory: Path, *, create: bool) -> ocp.CheckpointManager:
    """For writing, a thing that all processes do together; for reading, each for itself."""
    mine = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=mine, active_processes={mine}, barrier_sync_key_prefix=f"process{mine}"
    )
    together = ocp.options.MultiprocessingOptions()
    options = ocp.CheckpointManagerOptions(
        max_to_keep=KEEP if create else None,
        create=create,
        read_only=not create,
        enable_async_checkpointing=False,
        multiprocessing_options=together if create else alone,
    )
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=together if create else alone)
    return ocp.CheckpointManager(directory.absolute(), options=options, item_handlers=handler)


def save(directory: Path, step: int, state: PyTree) -> None:
    """Saves a pytree of arrays; complete or not at all. The last two steps are kept.

    Where arrays are split over processes, all must call this, and each writes its own rows once.
    """
    with _manager(directory, create=True) as manager:
        manager.save(step, args=ocp.args.StandardSave(state), force=True)


def _restore_step(manager: ocp.CheckpointManager, step: int, template: PyTree) -> PyTree:
    """A step's leading rows, as many as the template has."""
    # All leaves of a stacked state have one row per slot.
    n_rows = jax.tree.leaves(manager.item_metadata(step))[0].shape[0]
    whole = jax.tree.map(lambda leaf: np.zeros((n_rows, *leaf.shape[1:]), leaf.dtype), template)
    restored = manager.restore(step, args=ocp.args.StandardRestore(whole))
    return jax.tree.map(lambda leaf, mine: np.asarray(leaf)[: len(mine)], restored, template)


def restore(directory: Path, template: PyTree) -> Restored | None:
    """Restores the newest checkpoint that can be read, or None where nothing was saved.

    Args:
        directory: where `save` wrote.
        template: a pytree of NumPy arrays with the structure, shapes and dtypes to expect. Saved
            arrays may have more rows (a slice is filled up to a multiple of the devices that it
            ran on); these are dropped.

    Raises:
        DamagedError: where something was saved and none of it can be read.
    """
    if not directory.is_dir():
        return None
    skipped = []
    with _manager(directory, create=False) as manager:
        for step in sorted(manager.all_steps(), reverse=True):
            try:
                state = _restore_step(manager, step, template)
            except Exception:
                # Orbax raises many kinds for a damaged checkpoint; the one before it may be whole.
                skipped.append(step)
                continue
            return Restored(step, state, tuple(skipped))
    if skipped:
        raise DamagedError(
            f"{directory}: none of its checkpoints ({', '.join(map(str, skipped))}) can be read;"
            " restore them, or remove the folder to train from the start"
        )
    return None


def discard(directory: Path, steps: Sequence[int]) -> None:
    """Removes damaged checkpoints, so that their steps can be saved again; for one process."""
    for step in steps:
        shutil.rmtree(directory / str(step), ignore_errors=True)
