"""Trains every cell of a config over all its seeds, then analyses and reports.

Usage:
    python -m mdvae.sweep --config FILE [--workdir DIR] [--config.field=value ...]

    --config FILE           such as configs/quickstart.py
    --config.FIELD=VALUE    sets a field of the config, such as --config.seeds=3,
                            --config.grid.r='(2,4)', --config.networks.hidden='(32,)' or
                            --config.protocol=authors
    --workdir DIR           run directory; default runs/NAME, NAME being the config's name
    --devices N             use the first N devices (CPU: N cores); default all
    --dry_run               print cells, groups, memory and the expected time; write nothing
    --extend                let a run directory grow: more seeds, more cells, or more steps where no
                            setting is paced by them; what is trained is not trained again
    --allow_diverged        exit with 0, though some runs have diverged

    --distributed           one of several processes that SLURM, a TPU pod or the like has started
    --coordinator HOST:PORT, --num_processes N, --process_id I
                            the same, where they cannot find each other on their own

The same command in the same workdir resumes from the last checkpoint; a finished one reports at
once. SIGINT, SIGTERM and SIGUSR1 save first, and exit with code 75. A mistake exits with code 2;
with code 3 all is done, but some runs have diverged.
"""

if __name__ == "__main__":  # before the imports below, which last for seconds
    from mdvae import interrupts

    interrupts.end_in_one_line()

import contextlib
import dataclasses
import io
import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from mdvae import cli
from mdvae.analysis.generation import check_comparable, is_compared
from mdvae.analysis.summary import published_rows
from mdvae.benchmark.plan import print_plan
from mdvae.engine import processes
from mdvae.engine.jobs import add_missing, make_jobs, start_manifest
from mdvae.engine.machine import describe_machine, pick_devices, set_up_cpu
from mdvae.engine.processes import Cluster
from mdvae.networks.base import out_of_reach
from mdvae.reports.report import analyse_again, with_analysis, write_report
from mdvae.settings.config import SweepConfig
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import Group, make_cells, make_groups
from mdvae.settings.pacing import check_done
from mdvae.stages.measures import measure_samples
from mdvae.stages.plan import check_weights, stages_of
from mdvae.store import checkpoint, opening, rundir
from mdvae.store.loading import LoadedRun, TrainSweep, load_run
from mdvae.store.lock import lock_directory
from mdvae.store.slices import DONE, is_finished
from mdvae.training import train_slices, write_manifest


class Arguments(NamedTuple):
    """The command line, checked.

    Attributes:
        command: to be told how to go on.
        report: whether a finished sweep is reported on.
        extend: whether a run directory may grow.
        allow_diverged: whether runs that diverged are no failure.
    """

    config: SweepConfig
    workdir: Path
    devices: int = 0
    cluster: Cluster = Cluster()
    dry_run: bool = False
    command: str = ""
    report: bool = True
    extend: bool = False
    allow_diverged: bool = False


def parse(argv: Sequence[str]) -> Arguments:
    """Reads the command line.

    Raises:
        ConfigError: one line on what is wrong.
    """
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "run directory", flag_values=values)
    flags.DEFINE_integer("devices", 0, "devices to use", flag_values=values)
    flags.DEFINE_boolean("dry_run", False, "print the plan alone", flag_values=values)
    flags.DEFINE_boolean("extend", False, "let a run directory grow", flag_values=values)
    flags.DEFINE_boolean("allow_diverged", False, "runs may diverge", flag_values=values)
    flags.DEFINE_boolean("distributed", False, "one of several processes", flag_values=values)
    flags.DEFINE_string("coordinator", "", "host:port of process 0", flag_values=values)
    flags.DEFINE_integer("num_processes", 1, "how many processes", flag_values=values)
    flags.DEFINE_integer("process_id", 0, "which process this is", flag_values=values)
    config, stray = cli.parse_config(argv, values)
    if stray:
        raise ConfigError(f"{stray[0]}: not a flag; settings are --config.field=value")
    devices = int(values["devices"].value or 0)
    if devices < 0:
        raise ConfigError(f"--devices: {devices} is not usable; it must be 0 or more")
    cluster = Cluster(
        detect=bool(values["distributed"].value),
        coordinator=str(values["coordinator"].value),
        num_processes=int(values["num_processes"].value or 0),
        process_id=int(values["process_id"].value or 0),
    )
    processes.check(cluster)
    return Arguments(
        config=config,
        workdir=Path(values["workdir"].value or f"runs/{config.name}"),
        devices=devices,
        cluster=cluster,
        dry_run=bool(values["dry_run"].value),
        extend=bool(values["extend"].value),
        allow_diverged=bool(values["allow_diverged"].value),
        command="python -m mdvae.sweep " + shlex.join(argv[1:]),
    )


def _open_directory(stack: contextlib.ExitStack, arguments: Arguments) -> dict[str, Any]:
    """Locks a run directory; returns what is in it, as plain values."""
    config, path = arguments.config, arguments.workdir
    check_weights(config, path)
    rundir.make_directory(path)
    stack.enter_context(lock_directory(path))
    changed = rundir.claim_directory(path, config, arguments.extend)
    saved = any((path / rundir.CHECKPOINTS).glob("*/*"))
    old = dataclasses.asdict(rundir.read_config(path).analysis)
    return {
        "manifest": rundir.read_manifest(path),
        "saved": saved,
        "old": old,
        "changed": changed,
    }


def run_sweep(arguments: Arguments) -> int:
    """Trains what is left of a sweep and reports; returns the exit code."""
    config, path = arguments.config, arguments.workdir
    cells = make_cells(config)
    groups = make_groups(cells, config.group_by)
    published_rows(config.analysis.published)
    check_comparable(config)
    check_done(config, cells)
    with contextlib.ExitStack() as stack:
        set_up_cpu()
        if arguments.dry_run:
            return _plan(arguments, groups)
        processes.join(arguments.cluster)
        if not processes.is_first():
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        opened = processes.on_first(lambda: _open_directory(stack, arguments))
        # In each process, and before hours of work, should there be a mistake in one.
        manifest, stages = opened["manifest"], stages_of(config, path)
        n_runs = len(cells) * config.seeds
        devices = pick_devices(arguments.devices, n_runs)
        if manifest.get("status") == "done" and is_finished(config, manifest):
            print(f"{path}: finished; reporting")
            if opened["changed"]:
                analyse_again(path, config, devices)
            return _end(arguments, stages)
        machine = describe_machine(devices)
        if manifest and manifest["versions"] != machine["versions"]:
            versions = json.dumps(manifest["versions"])
            print(f"warning: {path} was begun with other versions: {versions}")
        is_begun = any(each["status"] == DONE for each in manifest.get("slices", []))
        old = manifest if opened["saved"] or is_begun else {}
        # Slices that were counted already wait for the end, to be counted again with all others.
        counted = with_analysis(config, opened["old"])
        manifest = start_manifest(arguments.command, counted, old, machine)
        add_missing(counted, devices, manifest)
        write_manifest(path, manifest)
        print(
            f"{path}: {len(cells)} cells x {config.seeds} seeds = {n_runs} runs,"
            f" {len(manifest['programs'])} group(s), {len(manifest['slices'])} slice(s),"
            f" {len(devices)} x {machine['device']}",
            flush=True,
        )
        for warning in dict.fromkeys(filter(None, map(out_of_reach, cells))):
            print(f"warning: {warning}", flush=True)
        stopped_by = train_slices(path, counted, devices, manifest)
        if stopped_by:
            print(f"stopped by {stopped_by}; saved. To go on: {arguments.command}")
            processes.agree(0.0)  # nobody leaves, and takes the others along, before all is written
            return cli.INTERRUPTED
        if opened["changed"]:
            analyse_again(path, config, devices)
        return _end(arguments, stages)


def _plan(arguments: Arguments, groups: Sequence[Group]) -> int:
    """Prints the plans of a sweep, which need not be trained, and of its stages; the exit code."""
    config = arguments.config
    check_weights(config, arguments.workdir)
    with tempfile.TemporaryDirectory() as folder:
        rundir.write_config(Path(folder), config)
        stages = stages_of(config, Path(folder))
    n_runs = sum(len(group.cells) for group in groups) * config.seeds
    devices = pick_devices(arguments.devices, n_runs)
    manifest: dict[str, Any] = {}
    add_missing(config, devices, manifest)
    print_plan(config, groups, make_jobs(config, devices, manifest), devices)
    for name, stage in stages.items():
        print(
            f"stage {name}, when that is trained: {len(make_cells(stage))} cells x"
            f" {stage.seeds} seeds, {stage.steps} steps each"
        )
    return 0


def _end(arguments: Arguments, stages: dict[str, SweepConfig]) -> int:
    """Reports on a trained sweep, and runs its stages; returns the exit code."""
    codes = [_report(arguments)]
    for name, config in stages.items():
        print(f"stage {name}:", flush=True)
        workdir = arguments.workdir / name
        opening.inside(workdir, arguments.workdir)
        # Joined already.
        own = arguments._replace(config=config, workdir=workdir, cluster=Cluster())
        codes.append(run_sweep(own))
    is_reported = arguments.report and set(codes) <= {0, cli.DIVERGED}
    if is_reported and stages and is_compared(arguments.config):
        # Once more, as it shows what the stages generate beside its own models.
        _report(arguments)
    # Of a failure that is worse than runs that diverged, the code of that.
    return max((code for code in codes if code != cli.DIVERGED), default=0) or max(codes)


def _report(arguments: Arguments) -> int:
    """Measures and reports on a finished sweep; the exit code tells of runs that diverged."""
    path = arguments.workdir

    def report() -> int:
        measure_samples(path)
        write_report(path)
        status = [row["status"] for row in rundir.read_csv(path / rundir.RESULTS)]
        lost = len(status) - status.count("ok")
        if lost == len(status):
            print(
                f"error: {path}: no run has a finite loss; lower learning_rate, or of a VAE raise"
                " log_gamma_init",
                file=sys.stderr,
            )
            return 1
        if lost and not arguments.allow_diverged:
            print(
                f"warning: {path}: {lost} of {len(status)} runs diverged and are in no mean; lower"
                " learning_rate, set restarts, or give --allow_diverged",
                file=sys.stderr,
            )
            return cli.DIVERGED
        return 0

    return processes.on_first(report) if arguments.report else 0


class StoppedError(Exception):
    """Training was interrupted, and has been saved."""


def trainer(command: str) -> TrainSweep:
    """Trains sweeps within another command, which goes on where one was stopped.

    It raises `StoppedError` there.
    """

    def train(config: SweepConfig, path: Path) -> LoadedRun:
        own = Arguments(config, path, command=command, report=False)
        if run_sweep(own) == cli.INTERRUPTED:
            raise StoppedError
        return load_run(path)

    return train


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    if cli.asks_for_help(argv, __doc__):
        return 0
    try:
        return run_sweep(parse(argv))
    except checkpoint.DamagedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except processes.PeerError:
        return cli.USER_ERROR


if __name__ == "__main__":
    cli.run_command(main)
