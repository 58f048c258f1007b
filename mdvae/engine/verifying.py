"""Whether a run directory is whole: checkpoints against their digests, and files of lines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mdvae.engine.done import watched_steps
from mdvae.engine.runner import to_items
from mdvae.engine.trainer import template_of
from mdvae.methods.base import make_method
from mdvae.settings.config import SweepConfig
from mdvae.settings.fields import ConfigError
from mdvae.store import checkpoint, records, rundir, slices


def verify(path: Path) -> tuple[int, list[str]]:
    """Reads all of a run directory in which nobody trains, and changes nothing.

    Returns:
        How many checkpoints are whole, and a line for each thing that is not as it should be.
    """
    try:
        config, manifest = rundir.read_config(path), rundir.read_manifest(path)
        n_whole, wrong = _verify_checkpoints(path, config, manifest)
        return n_whole, [*wrong, *_wrong_metrics(path), *_wrong_results(path, manifest)]
    except ConfigError as error:
        return 0, [str(error)]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        return 0, [f"{path}: {rundir.MANIFEST} or {rundir.RESULTS} cannot be read ({error!r})"]


def _verify_checkpoints(
    path: Path, config: SweepConfig, manifest: dict[str, Any]
) -> tuple[int, list[str]]:
    groups = slices.groups_of(config, manifest)
    n_whole, wrong, known = 0, [], set()
    ends = {(each["group"], each["slice"]): each for each in manifest.get("slices", [])}
    for (group, index), runs in rundir.runs_of_slices(manifest).items():
        directory = rundir.slice_directory(path, group, index)
        known.add(directory)
        method, watched = make_method(groups[group], config.steps), watched_steps(config)
        template = template_of(method, groups[group], len(runs), watched)
        names = rundir.run_names(path, runs)
        steps = checkpoint.whole_steps(directory, to_items(template), names)
        n_whole += sum(steps.values())
        wrong += [
            f"{directory / str(step)}: is damaged, or of other runs"
            for step, is_whole in steps.items()
            if not is_whole
        ]
        end = ends[group, index]
        if end["status"] == slices.DONE and not steps.get(end["step"]):
            wrong.append(f"{directory}: no whole checkpoint of step {end['step']}, its last")
    there = {each.parent for each in (path / rundir.CHECKPOINTS).glob("*/*")}
    wrong += [f"{each}: of no slice in {rundir.MANIFEST}" for each in sorted(there - known)]
    return n_whole, wrong


def _wrong_metrics(path: Path) -> Iterator[str]:
    """Lines that cannot be read, and those of a run that do not go up in their steps."""
    file = path / rundir.METRICS
    last: dict[tuple[str, int], int] = {}
    for number, row in enumerate(records.read_metrics(file), 1):
        if row is None:
            yield f"{file}: line {number} cannot be read"
            continue
        run, step = (row["cell"], row["seed"]), row["step"]
        if step <= last.get(run, 0):
            yield f"{file}: {run[0]}, seed {run[1]}: step {step} after step {last[run]}"
        last[run] = step


def _wrong_results(path: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """Finished runs without a row."""
    results = {(row["cell"], row["seed"]) for row in rundir.read_csv(path / rundir.RESULTS)}
    done = [each["runs"] for each in manifest.get("slices", []) if each["status"] == slices.DONE]
    missing = {tuple(run) for runs in done for run in runs} - results
    if missing:
        yield f"{path / rundir.RESULTS}: has no row of {len(missing)} finished runs"
