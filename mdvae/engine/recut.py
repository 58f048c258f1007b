"""Slices made of others: parts of one that does not fit or is half done, and runs started again.

A new slice begins with rows of a checkpoint of the old one, and is then trained as any other. The
manifest names it last, so that an interruption before that leaves the old slice as it was.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mdvae.engine.done import END, watched_steps
from mdvae.engine.runner import from_items, to_items
from mdvae.engine.trainer import template_of
from mdvae.methods.base import make_method
from mdvae.settings.config import SweepConfig
from mdvae.store import checkpoint, rundir, slices

# Of the learning rate of a run, each time that it is started again.
SLOWER = 0.3

Entry = dict[str, Any]
# A checkpoint: its step, and its items by name.
Saved = tuple[int, Mapping[str, Any]]


def _templates(config: SweepConfig, manifest: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    """What a checkpoint of a slice holds, as zeros."""
    group = slices.groups_of(config, manifest)[entry["group"]]
    method, watched = make_method(group, config.steps), watched_steps(config)
    return to_items(template_of(method, group, len(entry["runs"]), watched))


def _begin(path: Path, entry: Entry, rows: Sequence[int], saved: Sequence[Saved]) -> None:
    """Saves rows of checkpoints, by ascending step, as the first ones of a new slice."""
    directory = rundir.slice_directory(path, entry["group"], entry["slice"])
    # Of an attempt that was cut short before the manifest named it.
    shutil.rmtree(directory, ignore_errors=True)
    for step, items in saved:
        mine = jax.tree.map(lambda leaf: leaf[np.array(rows)], dict(items))
        checkpoint.save(directory, step, mine, rundir.run_names(path, entry["runs"]))


def halve(path: Path, config: SweepConfig, manifest: dict[str, Any], entry: Entry) -> None:
    """Replaces a slice by two of half as many runs, from its newest checkpoint on."""
    directory = rundir.slice_directory(path, entry["group"], entry["slice"])
    names = rundir.run_names(path, entry["runs"])
    restored = checkpoint.restore(directory, _templates(config, manifest, entry), names)
    place, cut = len(manifest["programs"]), -(-len(entry["runs"]) // 2)
    halves = []
    for index, rows in enumerate((range(cut), range(cut, len(entry["runs"])))):
        half = slices.new_slice(place, index, [entry["runs"][row] for row in rows])
        if restored is not None:
            _begin(path, half, rows, [(restored.step, restored.items)])
        halves.append(half)
    manifest["programs"].append(dict(manifest["programs"][entry["group"]]))
    manifest["slices"] += halves
    entry["status"] = slices.REPLACED


def set_apart(path: Path, config: SweepConfig, manifest: dict[str, Any], entry: Entry) -> None:
    """Replaces a slice by two, from its newest checkpoint on: runs that take no more steps, others.

    Each is a program of its own, for those that go on fill it. Of runs that have diverged the older
    checkpoints are kept as well, from which they may be started again.
    """
    directory = rundir.slice_directory(path, entry["group"], entry["slice"])
    names = rundir.run_names(path, entry["runs"])
    found = checkpoint.read_steps(directory, _templates(config, manifest, entry), names)
    saved = [(step, items) for step, items in found if items is not None]
    newest, items = saved[0]
    state = from_items(dict(items))
    goes_on = (state.train.step == newest) & (state.ends[END] > newest)
    for rows, kept in (
        (np.flatnonzero(~goes_on), saved[::-1]),
        (np.flatnonzero(goes_on), saved[:1]),
    ):
        part = slices.new_slice(len(manifest["programs"]), 0, [entry["runs"][i] for i in rows])
        _begin(path, part, rows.tolist(), kept)
        manifest["programs"].append(dict(manifest["programs"][entry["group"]]))
        manifest["slices"].append(part)
    entry["status"] = slices.REPLACED


def _last_sound(
    path: Path, entry: Entry, rows: Sequence[int], templates: Mapping[str, Any]
) -> dict[int, tuple[list[int], Mapping[str, Any]]]:
    """By step the rows of which it is the last sound one that is kept, and its checkpoint.

    Of none such is step 0, without a checkpoint.
    """
    directory = rundir.slice_directory(path, entry["group"], entry["slice"])
    names, left = rundir.run_names(path, entry["runs"]), list(rows)
    found: dict[int, tuple[list[int], Mapping[str, Any]]] = {}
    for step, items in checkpoint.read_steps(directory, templates, names):
        if items is None:
            continue
        train = from_items(dict(items)).train
        params = jax.tree.leaves(train.params)
        mine = [
            row
            for row in left
            if int(train.step[row]) == step and all(np.isfinite(leaf[row]).all() for leaf in params)
        ]
        if mine:
            found[step] = mine, items
        left = [row for row in left if row not in mine]
    if left:
        found[0] = left, {}
    return found


def restart(path: Path, config: SweepConfig, manifest: dict[str, Any]) -> int:
    """Adds slices that take runs which diverged up again, each from its last sound checkpoint.

    They learn more slowly, by SLOWER each time. Several processes leave them as they are.

    Returns:
        How many runs.
    """
    if jax.process_count() > 1:
        return 0
    records = {
        (each["cell"], each["seed"]): each
        for each in manifest["runs"]
        if slices.may_restart(each, config)
    }
    # Of several slices that have a run, the last one has trained it.
    last = {tuple(run): each for each in manifest["slices"] for run in each["runs"]}
    n_runs = 0
    for entry in tuple(manifest["slices"]):
        runs = [tuple(run) for run in entry["runs"]]
        rows = [i for i, run in enumerate(runs) if run in records and last[run] is entry]
        if not rows:
            continue
        own = manifest["programs"][entry["group"]]
        place, rate = len(manifest["programs"]), own["rate"] * SLOWER
        sound = _last_sound(path, entry, rows, _templates(config, manifest, entry))
        for index, (step, (mine, items)) in enumerate(sorted(sound.items())):
            again = slices.new_slice(place, index, [runs[row] for row in mine])
            if items:
                _begin(path, again, mine, [(step, items)])
            manifest["slices"].append(again)
            for cell, seed in (runs[row] for row in mine):
                record = records[cell, seed]
                record["restarts"] = record.get("restarts", 0) + 1
                record |= {"status": slices.PENDING, "restarted_from": step, "rate": rate}
                print(
                    f"{cell}, seed {seed}: starting again from step {step:,} with {rate:.2g} of its"
                    " learning rate",
                    flush=True,
                )
        manifest["programs"].append({**own, "rate": rate})
        n_runs += len(rows)
    return n_runs
