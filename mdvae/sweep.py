"""Trains every cell of a config over all its seeds, then analyses and reports.

Usage:
    python -m mdvae.sweep --config FILE [--workdir DIR] [--config.field=value ...]

    --config FILE           such as configs/quickstart.py
    --config.FIELD=VALUE    sets a field of the config, such as --config.seeds=3,
                            --config.grid.r='(2,4)' or --config.protocol=authors
    --workdir DIR           run directory; default runs/NAME, NAME being the config's name
    --devices N             use the first N devices (CPU: N cores); default all
    --dry_run               print cells, groups, memory and the expected time; write nothing

    --distributed           one of several processes that SLURM, a TPU pod or the like has started
    --coordinator HOST:PORT, --num_processes N, --process_id I
                            the same, where they cannot find each other on their own

The same command in the same workdir resumes from the last checkpoint; a finished one reports at
once. SIGINT and SIGTERM save first, and exit with code 75. A mistake exits with code 2.
"""

import contextlib
import io
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mdvae import checkpoint, cli, processes, rundir
from mdvae.config import ConfigError, SweepConfig
from mdvae.dryrun import print_plan
from mdvae.ensemble import Device, Run, looped, run_mesh, split_runs
from mdvae.grid import Group, make_cells, make_groups
from mdvae.loading import make_method
from mdvae.machine import GIB, describe_machine, memory_budget, pick_devices, set_up_cpu
from mdvae.memory import place_runs
from mdvae.report import write_report
from mdvae.results import save_results
from mdvae.runner import Job, train_slice
from mdvae.summary import published_rows
from mdvae.train import Trainer


def _make_jobs(
    config: SweepConfig,
    groups: Sequence[Group],
    devices: Sequence[Device],
    slices: Sequence[int] | None,
) -> list[Job]:
    """All slices of all groups; a resumed run keeps the number of slices that it began with."""
    seeds = range(config.seed, config.seed + config.seeds)
    # All processes must cut the same slices, so the poorest decides.
    budget = -int(processes.agree(-memory_budget(config, devices))[0])
    jobs, mesh = [], run_mesh(devices)
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
        trainer = Trainer(config, group, partial(make_method, config), mesh, placements)
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


def _open_directory(stack: contextlib.ExitStack, path: Path, config: SweepConfig) -> dict[str, Any]:
    """Locks a run directory; returns its manifest, and whether there are checkpoints."""
    rundir.make_directory(path)
    stack.enter_context(rundir.lock_directory(path))
    rundir.claim_directory(path, config)
    saved = any((path / rundir.CHECKPOINTS).glob("*/*"))
    return {"manifest": rundir.read_manifest(path), "saved": saved}


def run_sweep(arguments: cli.SweepArguments) -> int:
    """Trains what is left of a sweep and reports; returns the exit code."""
    config, path = arguments.config, arguments.workdir
    cells = make_cells(config)
    groups = make_groups(cells, config.group_by)
    published_rows(config.published)
    with contextlib.ExitStack() as stack:
        set_up_cpu()
        n_runs = len(cells) * config.seeds
        if arguments.dry_run:
            devices = pick_devices(arguments.devices, n_runs)
            print_plan(config, groups, _make_jobs(config, groups, devices, None), devices)
            return 0
        processes.join(arguments.cluster)
        if not processes.is_first():
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        opened = processes.on_first(lambda: _open_directory(stack, path, config))
        manifest = opened["manifest"]
        if manifest.get("status") == "done":
            print(f"{path}: finished; reporting")
            return _report(path)
        devices = pick_devices(arguments.devices, n_runs)
        machine = describe_machine(devices)
        if manifest and manifest["versions"] != machine["versions"]:
            versions = json.dumps(manifest["versions"])
            print(f"warning: {path} was begun with other versions: {versions}")
        old = manifest if opened["saved"] else {}
        jobs = _make_jobs(config, groups, devices, old.get("n_slices"))
        manifest = _start_manifest(arguments, old, jobs, machine, groups)
        _write_manifest(path, manifest)
        print(
            f"{path}: {len(cells)} cells x {config.seeds} seeds = {n_runs} runs,"
            f" {len(groups)} group(s), {len(jobs)} slice(s), {len(devices)} x {machine['device']}",
            flush=True,
        )
        with cli.StopRequest() as stop:
            for job, entry in zip(jobs, manifest["slices"], strict=True):
                if processes.agree(stop.signal is not None)[0]:
                    break
                if entry["status"] != "done":
                    _run_job(job, entry, manifest, config, path, stop)
        finished = all(entry["status"] == "done" for entry in manifest["slices"])
        manifest["status"] = "done" if finished else "interrupted"
        _write_manifest(path, manifest)
        if not finished:
            who = stop.signal or "another process"
            print(f"stopped by {who}; saved. To go on: {arguments.command}")
            processes.agree(0.0)  # nobody leaves, and takes the others along, before all is written
            return cli.INTERRUPTED
        return _report(path)


def _write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    if processes.is_first():
        rundir.write_manifest(path, manifest)


def _report(path: Path) -> int:
    """Reports on a finished sweep; the exit code is 1 where not a single run has a finite loss."""

    def report() -> int:
        try:
            write_report(path)
        except OSError as error:
            raise ConfigError(
                f"workdir: the report in {path} cannot be written ({error.strerror}); make"
                " room, then run python -m mdvae.report"
            ) from error
        if any(row["status"] == "ok" for row in rundir.read_csv(path / rundir.RESULTS)):
            return 0
        print(
            f"error: {path}: no run has a finite loss; lower learning_rate or raise log_gamma_init",
            file=sys.stderr,
        )
        return 1

    return processes.on_first(report)


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
        entry["status"] = "done"
    if trained.evaluation is not None and processes.is_first():
        runs = job.placement.slots[: job.placement.n_runs]
        results = save_results(path, runs, trained.evaluation, config)
        status = {(row["cell"], row["seed"]): row["status"] for row in results}
        for run in manifest["runs"]:
            run["status"] = status.get((run["cell"], run["seed"]), run["status"])
    _write_manifest(path, manifest)


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
    except processes.PeerError:
        return cli.USER_ERROR


if __name__ == "__main__":
    cli.run_command(main)
