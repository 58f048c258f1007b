"""Trains what is left of a run directory, slice by slice, and writes down how it stands."""

from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mdvae.analysis.measuring import forget
from mdvae.analysis.results import save_results
from mdvae.engine import processes
from mdvae.engine.ensemble import Device
from mdvae.engine.jobs import Job, make_jobs
from mdvae.engine.progress import StopRequest
from mdvae.engine.recut import halve, restart, set_apart
from mdvae.engine.runner import OutOfMemoryError, train_slice
from mdvae.settings.config import SweepConfig
from mdvae.settings.fields import ConfigError
from mdvae.store import rundir
from mdvae.store.slices import DONE, is_trained


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Replaces the manifest; the first of several processes does."""
    if processes.is_first():
        rundir.write_manifest(path, manifest)


def train_slices(
    path: Path, config: SweepConfig, devices: Sequence[Device], manifest: dict[str, Any]
) -> str:
    """Trains all slices of a manifest that are not, and keeps it up to date.

    A slice that does not fit is halved, until a run a device is left. Runs that have diverged are
    started again, where the config says how often.

    Returns:
        Who asked to stop before the end, or "".

    Raises:
        ConfigError: where a single run a device does not fit.
    """
    with StopRequest() as stop:
        jobs = deque(make_jobs(config, devices, manifest))
        while not processes.agree(stop.signal is not None)[0]:
            known = len(manifest["programs"])
            if not jobs:
                if not restart(path, config, manifest):
                    break
                write_manifest(path, manifest)
                jobs.extend(make_jobs(config, devices, manifest, known))
                known = len(manifest["programs"])
            job, why = jobs.popleft(), ""
            if is_trained(job.entry, config):
                continue
            try:
                _train(job, manifest, config, path, stop)
            except OutOfMemoryError as error:
                why = str(error)
            if why:  # out of the handler, which would keep the arrays that do not fit
                _halve(job, path, config, manifest, why)
            if len(manifest["programs"]) > known:
                jobs.extendleft(reversed(make_jobs(config, devices, manifest, known)))
    finished = all(is_trained(entry, config) for entry in manifest["slices"])
    manifest["status"] = "done" if finished else "interrupted"
    write_manifest(path, manifest)
    return "" if finished else stop.signal or "another process"


def _halve(job: Job, path: Path, config: SweepConfig, manifest: dict[str, Any], why: str) -> None:
    """Puts two slices in the place of one that does not fit.

    Raises:
        ConfigError: where that would make neither smaller.
    """
    if not job.can_be_halved:
        name, seed = job.runs[0].cell.name, job.runs[0].seed
        raise ConfigError(
            f"batch_size: {job.batch_size} is too many for the memory that there is, even for"
            f" {name}, seed {seed}, alone ({why}); give less, or smaller networks"
        )
    print(f"warning: {job.name}: out of memory ({why}); going on with halves of it", flush=True)
    halve(path, config, manifest, job.entry)
    write_manifest(path, manifest)


def _train(
    job: Job, manifest: dict[str, Any], config: SweepConfig, path: Path, stop: StopRequest
) -> None:
    """Trains a slice and writes down how it stands; one that is thin is replaced."""
    entry = job.entry
    trained = train_slice(job, config, path, stop)
    entry["step"] = trained.step
    entry["held_bytes"] = trained.held_bytes
    entry["seconds"] = round(entry["seconds"] + trained.seconds, 3)
    if trained.evaluation is not None:
        entry |= {"status": DONE, "steps": config.steps}
    if trained.evaluation is not None and processes.is_first():
        keys = {(run.cell.name, run.seed) for run in job.runs}
        # Of fewer steps, or of before a restart.
        forget(path, keys)
        steps = trained.taken, trained.due
        results = save_results(path, job.runs, trained.evaluation, config, *steps)
        found = {(row["cell"], row["seed"]): row for row in results}
        for run in manifest["runs"]:
            row = found.get((run["cell"], run["seed"]))
            if row is not None:
                run |= {"status": row["status"], "steps": row["steps"]}
    if trained.is_thin:
        set_apart(path, config, manifest, entry)
        print(
            f"{job.name}: half of its runs are at their end; going on with the others", flush=True
        )
    write_manifest(path, manifest)
