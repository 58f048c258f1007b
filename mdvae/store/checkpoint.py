"""Checkpoints: the only module that knows Orbax."""

import itertools
import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from mdvae.data.base import PyTree

KEEP = 2
# What a checkpoint consists of: what a model is applied with, and what only training needs. Each is
# read without the other.
MODEL, TRAINING = "model", "training"
ITEMS = (MODEL, TRAINING)

# Orbax warns on every opening for reading that it was opened for reading, and that items which are
# not asked for are there.
logging.getLogger("absl").addFilter(
    lambda record: not re.search(r"read[_ ]only|could not be restored", record.getMessage())
)


class DamagedError(RuntimeError):
    """There are checkpoints, but none can be read; one line."""


class Restored(NamedTuple):
    """A restored checkpoint.

    Attributes:
        step: at which it was saved.
        items: by name, of the templates' structures, NumPy leaves.
        skipped: newer steps that could not be read.
    """

    step: int
    items: dict[str, PyTree]
    skipped: tuple[int, ...]


def _manager(
    directory: Path, *, create: bool, items: Collection[str] = ITEMS
) -> ocp.CheckpointManager:
    """For writing, a thing that all processes do together; for reading, each for itself.

    Args:
        items: the only ones that are written or read.
    """
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
    handlers = {
        name: ocp.StandardCheckpointHandler(multiprocessing_options=together if create else alone)
        for name in items
    }
    return ocp.CheckpointManager(directory.absolute(), options=options, item_handlers=handlers)


def save(directory: Path, step: int, items: Mapping[str, PyTree]) -> None:
    """Saves pytrees of arrays, by names of ITEMS; complete or not at all. Two steps are kept.

    Where arrays are split over processes, all must call this, and each writes its own rows once.
    """
    saved = {name: ocp.args.StandardSave(item) for name, item in items.items()}
    with _manager(directory, create=True) as manager:
        manager.save(step, args=ocp.args.Composite(**saved), force=True)


def _restore_step(
    manager: ocp.CheckpointManager, step: int, templates: Mapping[str, PyTree]
) -> dict[str, PyTree]:
    """A step's leading rows, as many as the templates have."""
    metadata = manager.item_metadata(step)
    # All leaves of a stacked state have one row per slot.
    n_rows = jax.tree.leaves(metadata[next(iter(templates))])[0].shape[0]

    def whole(leaf: np.ndarray) -> np.ndarray:
        return np.zeros((n_rows, *leaf.shape[1:]), leaf.dtype)

    wanted = {
        name: ocp.args.StandardRestore(jax.tree.map(whole, template))
        for name, template in templates.items()
    }
    restored = manager.restore(step, args=ocp.args.Composite(**wanted))
    return {
        name: jax.tree.map(
            lambda leaf, mine: np.asarray(leaf)[: len(mine)], restored[name], template
        )
        for name, template in templates.items()
    }


def restore(directory: Path, templates: Mapping[str, PyTree]) -> Restored | None:
    """Restores the newest checkpoint that can be read, or None where nothing was saved.

    Args:
        directory: where `save` wrote.
        templates: by name the items that are wanted, pytrees of NumPy arrays with the structure,
            shapes and dtypes to expect. Saved arrays may have more rows (a slice is filled up to a
            multiple of the devices that it ran on); these are dropped.

    Raises:
        DamagedError: where something was saved and none of it can be read.
    """
    if not directory.is_dir():
        return None
    skipped = []
    with _manager(directory, create=False, items=templates) as manager:
        for step in sorted(manager.all_steps(), reverse=True):
            try:
                items = _restore_step(manager, step, templates)
            except Exception:
                # Orbax raises many kinds for a damaged checkpoint; the one before it may be whole.
                skipped.append(step)
                continue
            return Restored(step, items, tuple(skipped))
    if skipped:
        raise DamagedError(
            f"{directory}: none of its checkpoints ({', '.join(map(str, skipped))}) can be read;"
            " restore them, or remove the folder to train from the start"
        )
    return None


def _endings() -> Iterator[str]:
    """What tells names apart: nothing, then -2, -3 and so on."""
    return itertools.chain([""], (f"-{i}" for i in itertools.count(2)))


def discard(directory: Path, steps: Sequence[int]) -> None:
    """Moves damaged checkpoints aside, so that their steps can be saved again; for one process.

    Nothing is lost: what cannot be read today, as of a disk that is away for a moment, may be
    readable tomorrow.

    Raises:
        DamagedError: where one cannot be moved.
    """
    for step in steps:
        path = directory / str(step)
        places = (directory / f"{step}.unreadable{end}" for end in _endings())
        aside = next(place for place in places if not place.exists())
        try:
            path.rename(aside)
        except OSError as error:
            raise DamagedError(
                f"{path}: cannot be read, nor moved aside ({error.strerror}); move it by hand"
            ) from error
        print(f"warning: {path}: cannot be read; kept as {aside.name}", flush=True)
