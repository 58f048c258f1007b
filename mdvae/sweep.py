"""Trains every cell of a config over all its seeds, then analyses and reports.

Usage:
    python -m mdvae.sweep --config FILE [--workdir DIR] [--config.field=value ...]

    --config FILE           such as configs/quickstart.py
    --config.FIELD=VALUE    sets a field of the config, such as --config.seeds=3,
                            --config.grid.r='(2,4)' or --config.protocol=authors
    --workdir DIR           run directory; default runs/NAME, NAME being the config's name
    --devices N             use the first N devices (CPU: N cores); default all

The same command in the same workdir resumes from the last checkpoint; a finished one reports at
once. SIGINT and SIGTERM save first, and exit with code 75. A mistake exits with code 2.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from mdvae import checkpoint, cli, rundir
from mdvae.config import SweepConfig
from mdvae.ensemble import Device, Placement, Run, looped, run_mesh, split_runs
from mdvae.grid import Group, make_cells, make_groups
from mdvae.loading import make_method
from mdvae.machine import GIB, describe_machine, memory_budget, set_up_devices
from mdvae.memory import place_runs
from mdvae.methods import Evaluation
from mdvae.report import published_rows, write_report
from mdvae.results import save_results
from mdvae.train import EnsembleState, Slice, Trainer

CALL_SECONDS = 1.0


class Trained(NamedTuple):
    """What training a slice came to.

    Attributes:
        step: the last one.
        seconds: spent in steps, compilation apart.
        held_bytes: of data and train states on all devices.
        evaluation: of the real runs, or None where it was interrupted.
    """

    step: int
    seconds: float
    held_bytes: int
    evaluation: Evaluation | None


class Job(NamedTuple):
    """A slice of a group: what to train, where its files are, how to call it."""

    trainer: Trainer
    placement: Placement
    group: int
    part: int
    name: str


def _metrics(job: Job, means: Any, step: int) -> list[dict[str, Any]]:
    return [
        {
            "cell": run.cell.name,
            "seed": run.seed,
            "step": step,
            **{name: float(values[i]) for name, values in means._asdict().items()},
        }
        for i, run in enumerate(job.placement.slots[: job.placement.n_runs])
    ]


def _resume(job: Job, part: Slice, state: EnsembleState, path: Path) -> tuple[int, EnsembleState]:
    """The newest checkpoint's step and state, or the given ones."""
    directory = rundir.slice_directory(path, job.group, job.part)
    restored = checkpoint.restore(directory, job.trainer.to_host(part, state))
    step = 0 if restored is None else restored.step
    rundir.rewind_metrics(path, job.placement.slots, step)
    if restored is None:
        return 0, state
    if restored.skipped:
        steps = ", ".join(f"{skipped:,}" for skipped in restored.skipped)
        print(f"warning: {job.name}: the checkpoint at step {steps} is damaged; trained again")
        checkpoint.discard(directory, restored.skipped)
    print(f"{job.name}: resuming from step {step:,}", flush=True)
    return step, job.trainer.from_host(part, restored.state)


def train_slice(job: Job, config: SweepConfig, path: Path, stop: cli.StopRequest) -> Trained:
    """Trains one slice from its newest checkpoint to the end, or until asked to stop.

    A slice of which no run has a finite loss any more is given up early.
    """
    trainer, directory = job.trainer, rundir.slice_directory(path, job.group, job.part)
    print(f"{job.name}: making data ...", flush=True)
    part = trainer.load(job.placement)
    step, state = _resume(job, part, trainer.init(job.placement), path)
    saved, diverged, note = step, set(), ""
    progress = None
    seconds, calls, n_steps = 0.0, 0, 1
    print(f"{job.name}: compiling ...", flush=True)
    started = time.monotonic()
    n_runs = job.placement.n_runs
    while step < config.steps and stop.signal is None and len(diverged) < n_runs:
        boundaries = (config.log_every, config.save_every)
        room = min(every - step % every for every in boundaries)
        n_steps = max(1, min(n_steps, room, config.steps - step))
        before = time.monotonic()
        state = jax.block_until_ready(trainer.chunk(part, state, step, n_steps))
        took = time.monotonic() - before
        step += n_steps
        if progress is None:
            print(f"{job.name}: compiled in {time.monotonic() - started:.1f} s", flush=True)
            progress = cli.Progress(job.name, config.steps, step)
        else:
            seconds, calls = seconds + took, calls + n_steps
            progress.update(n_steps, note)
            # Calls of about a second: often enough to see progress and to stop quickly.
            n_steps = max(1, int(CALL_SECONDS * n_steps / max(took, 1e-6)))
        if step % config.log_every == 0 or step == config.steps:
            since = (step - 1) % config.log_every + 1
            state, means = trainer.read_meter(part, state, since)
            rundir.append_metrics(path, _metrics(job, means, step))
            diverged = _report_diverged(job, np.asarray(means.nelbo), diverged, step)
            rate = job.placement.n_runs * _batch_size(job) * calls / max(seconds, 1e-9)
            finite = means.nelbo[np.isfinite(means.nelbo)]
            median = f"{np.median(finite):.2f}" if finite.size else "not finite"
            note = f"{rate / 1e6:.2f} M samples/s, median nelbo {median}"
        if step % config.save_every == 0 or step == config.steps:
            checkpoint.save(directory, step, trainer.to_host(part, state))
            saved = step
    if progress is not None:
        progress.close()
    if saved < step:
        checkpoint.save(directory, step, trainer.to_host(part, state))
    held = sum(leaf.nbytes for leaf in jax.tree.leaves((part.data, state)))
    if step < config.steps and len(diverged) < n_runs:
        return Trained(step, seconds, held, None)
    print(f"{job.name}: evaluating ...", flush=True)
    return Trained(step, seconds, held, trainer.evaluate(part, state))


def _batch_size(job: Job) -> int:
    """Samples that one run sees in a step."""
    return job.placement.slots[0].cell.batch_size


def _report_diverged(job: Job, nelbo: np.ndarray, known: set[int], step: int) -> set[int]:
    bad = {int(i) for i in np.flatnonzero(~np.isfinite(nelbo))}
    for i in sorted(bad - known):
        run = job.placement.slots[i]
        print(
            f"warning: {run.cell.name}, seed {run.seed}: the loss is not finite by step {step:,};"
            " the other runs go on",
            flush=True,
        )
    return bad


def _make_jobs(
    config: SweepConfig,
    groups: Sequence[Group],
    devices: Sequence[Device],
    slices: Sequence[int] | None,
) -> list[Job]:
    """All slices of all groups; a resumed run keeps the number of slices that it began with."""
    seeds = range(config.seed, config.seed + config.seeds)
    budget = memory_budget(config, devices)
    jobs = []
    for i, group in enumerate(groups):
        runs = [Run(cell, seed) for seed in seeds for cell in group.cells]
        method = make_method(config, group)
        if slices is None:
            placements, need = place_runs(
                config, group, method, runs, len(devices), budget, looped()
            )
            if need > budget:
                print(
                    f"warning: one run a device needs about {need / GIB:.1f} GiB and"
                    f" {budget / GIB:.1f} are free; trying anyway",
                    flush=True,
                )
        else:
            placements = split_runs(runs, slices[i], len(devices))
        trainer = Trainer(config, group, method, run_mesh(devices), placements)
        for k, placement in enumerate(placements):
            name = f"group {i + 1}/{len(groups)}" if len(groups) > 1 else "sweep"
            if len(placements) > 1:
                name += f", slice {k + 1}/{len(placements)}"
            jobs.append(Job(trainer, placement, i, k, name))
    return jobs


def _job_entry(job: Job) -> dict[str, Any]:
    runs = job.placement.slots[: job.placement.n_runs]
    return {
        "group": job.group,
        "slice": job.part,
        "status": "pending",
        "step": 0,
        "seconds": 0.0,
        "held_bytes": 0,
        "runs": [[run.cell.name, run.seed] for run in runs],
    }


def _start_manifest(arguments: cli.SweepArguments, old: dict[str, Any], jobs, machine, groups):
    """The manifest of this start: what the directory says of finished slices, and this machine."""
    n_slices = [sum(job.group == i for job in jobs) for i in range(len(groups))]
    return {
        "command": arguments.command,
        "config_hash": rundir.config_hash(arguments.config),
        **machine,
        "status": "running",
        "groups": len(groups),
        "n_slices": n_slices,
        "cells": [rundir.describe_cell(cell) for cell in make_cells(arguments.config)],
        "runs": old.get("runs")
        or [
            {"cell": run.cell.name, "seed": run.seed, "status": "pending"}
            for job in jobs
            for run in job.placement.slots[: job.placement.n_runs]
        ],
        "slices": old.get("slices") or [_job_entry(job) for job in jobs],
    }


def run_sweep(arguments: cli.SweepArguments) -> int:
    """Trains what is left of a sweep and reports; returns the exit code."""
    config, path = arguments.config, arguments.workdir
    cells = make_cells(config)
    groups = make_groups(cells, config.group_by)
    published_rows(config.published)
    rundir.make_directory(path)
    with rundir.lock_directory(path):
        rundir.claim_directory(path, config)
        manifest = rundir.read_manifest(path)
        if manifest.get("status") == "done":
            print(f"{path}: finished; reporting")
            write_report(path)
            return _verdict(path)
        devices = set_up_devices(arguments.devices, len(cells) * config.seeds)
        machine = describe_machine(devices)
        if manifest and manifest["versions"] != machine["versions"]:
            versions = json.dumps(manifest["versions"])
            print(f"warning: {path} was begun with other versions: {versions}")
        saved = any((path / rundir.CHECKPOINTS).glob("*/*"))
        old = manifest if saved else {}
        jobs = _make_jobs(config, groups, devices, old.get("n_slices"))
        manifest = _start_manifest(arguments, old, jobs, machine, groups)
        rundir.write_manifest(path, manifest)
        print(
            f"{path}: {len(cells)} cells x {config.seeds} seeds = {len(cells) * config.seeds} runs,"
            f" {len(groups)} group(s), {len(jobs)} slice(s), {len(devices)} x {machine['device']}",
            flush=True,
        )
        with cli.StopRequest() as stop:
            for job, entry in zip(jobs, manifest["slices"], strict=True):
                if entry["status"] != "done" and stop.signal is None:
                    _run_job(job, entry, manifest, config, path, stop)
        finished = all(entry["status"] == "done" for entry in manifest["slices"])
        manifest["status"] = "done" if finished else "interrupted"
        rundir.write_manifest(path, manifest)
        if not finished:
            print(f"stopped by {stop.signal}; saved. To go on: {arguments.command}")
            return cli.INTERRUPTED
        write_report(path)
        return _verdict(path)


def _verdict(path: Path) -> int:
    """The exit code of a finished sweep: 1 where not a single run has a finite loss."""
    if any(row["status"] == "ok" for row in rundir.read_csv(path / rundir.RESULTS)):
        return 0
    print(
        f"error: {path}: no run has a finite loss; lower learning_rate or raise log_gamma_init",
        file=sys.stderr,
    )
    return 1


def _run_job(
    job: Job,
    entry: dict[str, Any],
    manifest: dict[str, Any],
    config: SweepConfig,
    path: Path,
    stop: cli.StopRequest,
) -> None:
    """Trains a slice and writes down how it stands."""
    trained = train_slice(job, config, path, stop)
    entry["step"] = trained.step
    entry["held_bytes"] = trained.held_bytes
    entry["seconds"] = round(entry["seconds"] + trained.seconds, 3)
    if trained.evaluation is not None:
        runs = job.placement.slots[: job.placement.n_runs]
        results = save_results(path, runs, trained.evaluation, config)
        status = {(row["cell"], row["seed"]): row["status"] for row in results}
        for run in manifest["runs"]:
            run["status"] = status.get((run["cell"], run["seed"]), run["status"])
        entry["status"] = "done"
    rundir.write_manifest(path, manifest)


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    arguments = cli.parse_sweep(argv, __doc__ or "")
    if arguments is None:
        return 0
    try:
        return run_sweep(arguments)
    except checkpoint.DamagedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    cli.run_command(main)
