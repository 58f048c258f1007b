"""Whether a run directory is whole: checkpoints against their digests, and files of lines."""

from pathlib import Path

import jax
import numpy as np

from mdvae.engine.ensemble import EnsembleState
from mdvae.engine.runner import to_items
from mdvae.engine.trainer import zero_meter
from mdvae.methods.base import make_method
from mdvae.methods.padding import padded_shapes
from mdvae.settings.grid import Group, make_cells, make_groups
from mdvae.store import checkpoint, rundir


def _template(group: Group, steps: int, n_runs: int) -> EnsembleState:
    method = make_method(group, steps)
    one = padded_shapes(method, group)
    train = jax.tree.map(lambda leaf: np.zeros((n_runs, *leaf.shape), leaf.dtype), one)
    return EnsembleState(train, zero_meter(method, n_runs))


def verify(path: Path) -> tuple[int, list[str]]:
    """Reads all of a run directory, and changes nothing.

    Returns:
        How many checkpoints are whole, and a line for each thing that is not as it should be.

    Raises:
        ConfigError: where it is no run directory, or its config or manifest cannot be read.
    """
    config, manifest = rundir.read_config(path), rundir.read_manifest(path)
    groups = make_groups(make_cells(config), config.group_by)
    n_whole, wrong = 0, []
    ends = {(each["group"], each["slice"]): each for each in manifest.get("slices", [])}
    for (group, index), runs in rundir.runs_of_slices(manifest).items():
        directory = rundir.slice_directory(path, group, index)
        items = to_items(_template(groups[group], config.steps, len(runs)))
        steps = checkpoint.whole_steps(directory, items, rundir.run_names(path, runs))
        n_whole += sum(steps.values())
        wrong += [f"{directory / str(step)}: is damaged" for step, ok in steps.items() if not ok]
        end = ends[group, index]
        if end["status"] == "done" and not steps.get(end["step"]):
            wrong.append(f"{directory}: no whole checkpoint of step {end['step']}, its last")
    return n_whole, wrong + _wrong_lines(path, manifest)


def _wrong_lines(path: Path, manifest: dict) -> list[str]:
    """What is wrong with metrics and results."""
    wrong, seen = [], {}
    for row in rundir.read_metrics(path):
        run = row["cell"], row["seed"]
        if row["step"] <= seen.get(run, 0):
            wrong.append(
                f"{path / rundir.METRICS}: {run[0]}, seed {run[1]}: step {row['step']} again"
            )
        seen[run] = row["step"]
    results = {(row["cell"], row["seed"]) for row in rundir.read_csv(path / rundir.RESULTS)}
    done = [
        tuple(run)
        for each in manifest.get("slices", [])
        if each["status"] == "done"
        for run in each["runs"]
    ]
    missing = [run for run in done if run not in results]
    if missing:
        wrong.append(f"{path / rundir.RESULTS}: has no row of {len(missing)} finished runs")
    return wrong
