"""Checkpoints: the only module that knows Orbax."""

import itertools
import logging
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from mdvae.data.base import PyTree
from mdvae.store import claims, digests, leftovers, opening

# What a checkpoint consists of: what a model is applied with, and what only training needs. Each is
# read without the other.
MODEL, TRAINING = "model", "training"
ITEMS = (MODEL, TRAINING)
# And, of checkpoints that are not of an older version, digests of the rows of both, by the step.
DIGESTS = "digests"

# Orbax warns on every opening for reading that it was opened for reading, and that items which are
# not asked for are there; and it logs the trace of an error that it raises as well.
_NOISE = re.compile(r"read[_ ]only|could not be restored|run\(\) raised an exception")
logging.getLogger("absl").addFilter(lambda record: not _NOISE.search(record.getMessage()))


@cache
def _silence_late_reads() -> None:
    """Has nothing said of reads that end after the first of them has failed, and nobody waits.

    Orbax reads arrays at once and closes what its threads report to where one cannot be read; that
    error is raised, and the others would be printed at any time.
    """
    known = sys.unraisablehook

    def hook(said: Any) -> None:
        if str(said.exc_value) != "Event loop is closed":
            known(said)

    sys.unraisablehook = hook


class DamagedError(RuntimeError):
    """There are checkpoints, but none is whole; one line."""


class Restored(NamedTuple):
    """A restored checkpoint.

    Attributes:
        step: at which it was saved.
        items: by name, of the templates' structures, NumPy leaves.
        skipped: newer steps that could not be read, or are not what was saved.
    """

    step: int
    items: dict[str, PyTree]
    skipped: tuple[int, ...]


def _manager(
    directory: Path,
    items: Collection[str],
    *,
    create: bool,
    keep: int | None = None,
) -> ocp.CheckpointManager:
    """For writing, a thing that all processes do together; for reading, each for itself.

    Args:
        items: the only ones that are written or read.
        keep: how many steps stay when another one is written; None for all.
    """
    mine = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=mine, active_processes={mine}, barrier_sync_key_prefix=f"process{mine}"
    )
    together = ocp.options.MultiprocessingOptions()
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        todelete_subdir=leftovers.OLD if create else None,
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


def save(
    directory: Path,
    step: int,
    items: Mapping[str, PyTree],
    names: Sequence[str] = (),
    keep: int | None = None,
) -> None:
    """Saves pytrees of arrays, by names of ITEMS; complete or not at all.

    Where arrays are split over processes, all must call this, and each writes its own rows once.

    Args:
        names: of the leading rows; who restores them must give the same.
        keep: how many of the newest steps are kept, this one with them; None for all.

    Raises:
        OSError: where it cannot be written, with the folder of the step; others are whole.
    """
    _check_place(directory)
    leftovers.remove(directory)
    found = {str(step): {name: digests.of_item(item, names) for name, item in items.items()}}
    saved = {name: ocp.args.StandardSave(item) for name, item in {**items, DIGESTS: found}.items()}
    try:
        with _manager(directory, saved, create=True, keep=keep) as manager:
            manager.save(step, args=ocp.args.Composite(**saved), force=True)
        leftovers.remove_old(directory)
    except Exception as error:
        number = _error_number(error)
        if number is None:
            raise
        leftovers.remove(directory)
        raise OSError(number, os.strerror(number), str(directory / str(step))) from error


def _error_number(error: BaseException) -> int | None:
    """Why the system refused to write: of an error, what its message quotes, or what caused it."""
    quoted = re.search(r"os_error_code='(\d+)'", str(error))
    if quoted:
        return int(quoted[1])
    if isinstance(error, OSError):
        return error.errno
    cause = error.__cause__ or error.__context__
    return None if cause is None else _error_number(cause)


class _AlteredError(Exception):
    """What was read is not what was saved."""


def _restore_step(
    manager: ocp.CheckpointManager,
    step: int,
    templates: Mapping[str, PyTree],
    names: Sequence[str],
) -> dict[str, PyTree]:
    """A step's leading rows, as many as the templates have."""
    metadata = manager.item_metadata(step)
    # All leaves of a stacked state have one row per slot.
    n_rows = jax.tree.leaves(metadata[next(iter(templates))])[0].shape[0]
    if n_rows > len(jax.tree.leaves(templates)[0]) + claims.MOST_ROWS_MORE:
        raise _AlteredError

    def whole(leaf: np.ndarray) -> np.ndarray:
        return np.zeros((n_rows, *leaf.shape[1:]), leaf.dtype)

    wanted = {name: jax.tree.map(whole, template) for name, template in templates.items()}
    known = metadata.get(DIGESTS)
    if known is None and DIGESTS in (manager.metadata(step).item_handlers or ()):
        raise _AlteredError
    if known is not None:
        rows = np.zeros((n_rows, digests.SIZE), np.uint8)
        wanted[DIGESTS] = jax.tree.map(lambda _: rows, known)
    if not claims.are_wanted(metadata, wanted, Path(manager.directory) / str(step)):
        raise _AlteredError
    arguments = {name: ocp.args.StandardRestore(item) for name, item in wanted.items()}
    restored = manager.restore(step, args=ocp.args.Composite(**arguments))
    items = {
        name: jax.tree.map(
            lambda leaf, mine: np.asarray(leaf)[: len(mine)], restored[name], template
        )
        for name, template in templates.items()
    }
    if known is not None:
        # An older version has them without a step.
        told = restored[DIGESTS]
        told = told if told.keys() <= set(ITEMS) else told.get(str(step), {})
        if not all(
            name in told and digests.same(item, names, told[name]) for name, item in items.items()
        ):
            raise _AlteredError
    return items


def _check_place(directory: Path) -> None:
    """Refuses links to outside of the run directory, in which slices are two folders down."""
    opening.check_tree(directory, directory.parents[1])
    claims.check_nesting(directory)


def read_steps(
    directory: Path, templates: Mapping[str, PyTree], names: Sequence[str]
) -> Iterator[tuple[int, dict[str, PyTree] | None]]:
    """The steps that there are, the newest first, and their items, or None of what is damaged."""
    _check_place(directory)
    if not directory.is_dir():
        return
    _silence_late_reads()
    with _manager(directory, (*templates, DIGESTS), create=False) as manager:
        for step in sorted(manager.all_steps(), reverse=True):
            try:
                items = _restore_step(manager, step, templates, names)
            except Exception:  # Orbax raises many kinds for a damaged checkpoint
                items = None
            yield step, items


def restore(
    directory: Path, templates: Mapping[str, PyTree], names: Sequence[str] = ()
) -> Restored | None:
    """Restores the newest checkpoint that is whole, or None where nothing was saved.

    Args:
        directory: where `save` wrote.
        templates: by name the items that are wanted, pytrees of NumPy arrays with the structure,
            shapes and dtypes to expect. Saved arrays may have more rows (a slice is filled up to a
            multiple of the devices that it ran on); these are dropped.
        names: of the rows, as `save` was given them.

    Raises:
        DamagedError: where something was saved and none of it is whole.
    """
    skipped = []
    for step, items in read_steps(directory, templates, names):
        if items is not None:
            return Restored(step, items, tuple(skipped))
        skipped.append(step)  # the one before it may be whole
    if skipped:
        raise DamagedError(
            f"{directory}: none of its checkpoints ({', '.join(map(str, skipped))}) is whole and of"
            " these runs; restore them, or remove the folder to train from the start"
        )
    return None


def whole_steps(
    directory: Path, templates: Mapping[str, PyTree], names: Sequence[str] = ()
) -> dict[int, bool]:
    """Whether each checkpoint is whole, oldest first; see `restore`."""
    found = [(step, items is not None) for step, items in read_steps(directory, templates, names)]
    return dict(reversed(found))


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
                f"{path}: is damaged, or of other runs, and cannot be moved aside"
                f" ({error.strerror}); move it by hand"
            ) from error
        said = f"{path}: is damaged, or of other runs; kept as {aside.name}"
        print(f"warning: {said}", flush=True)
