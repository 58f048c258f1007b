"""Trains one slice in a run directory: progress, metrics, checkpoints and signals between chunks.

Over several processes all of them run this; what depends on time or signals is agreed on, and the
first one alone writes the metrics.
"""

import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from mdvae import checkpoint, cli, processes, rundir
from mdvae.config import SweepConfig
from mdvae.ensemble import EnsembleState, Placement
from mdvae.methods import Evaluation
from mdvae.train import Slice, Trainer

CALL_SECONDS = 1.0


class Job(NamedTuple):
    """A slice of a group: what to train, where its files are, how to call it."""

    trainer: Trainer
    placement: Placement
    group: int
    part: int
    name: str


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


def batch_size(job: Job) -> int:
    """Samples that one run sees in a step."""
    return job.placement.slots[0].cell.batch_size


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


def _resume(job: Job, part: Slice, path: Path) -> tuple[int, EnsembleState]:
    """The newest checkpoint's step and state, or those of the start."""
    directory = rundir.slice_directory(path, job.group, job.part)
    restored = checkpoint.restore(directory, job.trainer.template(part))
    step = 0 if restored is None else restored.step
    if processes.agree(step)[0] != -processes.agree(-step)[0]:
        raise checkpoint.DamagedError(
            f"{directory}: the processes see different checkpoints; wait until all of them see the"
            " same files, then start again"
        )
    if processes.is_first():
        rundir.rewind_metrics(path, job.placement.slots, step)
    if restored is None:
        return 0, job.trainer.init(part)
    if restored.skipped:
        steps = ", ".join(f"{skipped:,}" for skipped in restored.skipped)
        print(f"warning: {job.name}: the checkpoint at step {steps} is damaged; trained again")
        if processes.is_first():
            checkpoint.discard(directory, restored.skipped)
        processes.agree(0.0)  # nobody saves before the damaged ones are gone
    print(f"{job.name}: resuming from step {step:,}", flush=True)
    return step, job.trainer.from_host(part, restored.state)


def train_slice(job: Job, config: SweepConfig, path: Path, stop: cli.StopRequest) -> Trained:
    """Trains one slice from its newest checkpoint to the end, or until asked to stop.

    A slice of which no run has a finite loss any more is given up early.
    """
    trainer, directory = job.trainer, rundir.slice_directory(path, job.group, job.part)
    n_runs = job.placement.n_runs
    print(f"{job.name}: making data ...", flush=True)
    part = trainer.load(job.placement)
    step, state = _resume(job, part, path)
    saved, diverged, note = step, set(), ""
    progress = None
    seconds, calls, n_steps = 0.0, 0, 1
    print(f"{job.name}: compiling ...", flush=True)
    started = time.monotonic()
    while step < config.steps and len(diverged) < n_runs:
        if processes.agree(stop.signal is not None)[0]:
            break
        boundaries = (config.log_every, config.save_every)
        room = min(every - step % every for every in boundaries)
        n_steps = max(1, min(n_steps, room, config.steps - step))
        before = time.monotonic()
        state = jax.block_until_ready(trainer.chunk(part, state, step, n_steps))
        (took,) = processes.agree(time.monotonic() - before)
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
            if processes.is_first():
                rundir.append_metrics(path, _metrics(job, means, step))
            diverged = _report_diverged(job, np.asarray(means.nelbo), diverged, step)
            rate = n_runs * batch_size(job) * calls / max(seconds, 1e-9)
            finite = means.nelbo[np.isfinite(means.nelbo)]
            median = f"{np.median(finite):.2f}" if finite.size else "not finite"
            note = f"{rate / 1e6:.2f} M samples/s, median nelbo {median}"
        if step % config.save_every == 0 or step == config.steps:
            checkpoint.save(directory, step, state)
            saved = step
    if progress is not None:
        progress.close()
    if saved < step:
        checkpoint.save(directory, step, state)
    held = sum(leaf.nbytes for leaf in jax.tree.leaves((part.data, state)))
    if step < config.steps and len(diverged) < n_runs:
        return Trained(step, seconds, held, None)
    print(f"{job.name}: evaluating ...", flush=True)
    return Trained(step, seconds, held, trainer.evaluate(part, state))


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
