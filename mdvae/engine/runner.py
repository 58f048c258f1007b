"""Trains one slice in a run directory: progress, metrics, checkpoints and signals between chunks.

Over several processes all of them run this; what depends on time or signals is agreed on, and the
first one alone writes the metrics.
"""

import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from mdvae.engine import done, processes
from mdvae.engine.done import Watch, looks_of
from mdvae.engine.ensemble import EnsembleState
from mdvae.engine.evaluation import Evaluation
from mdvae.engine.jobs import Job
from mdvae.engine.lines import Means, lines_of, median_of
from mdvae.engine.progress import Progress, StopRequest
from mdvae.engine.trainer import Slice
from mdvae.methods.base import TrainState
from mdvae.settings.config import SweepConfig
from mdvae.settings.fields import ConfigError
from mdvae.store import checkpoint, rundir
from mdvae.store.checkpoint import MODEL, TRAINING

CALL_SECONDS = 1.0


class Trained(NamedTuple):
    """What training a slice came to.

    Attributes:
        step: the last one.
        seconds: spent in steps, compilation apart.
        held_bytes: of data and train states on all devices.
        taken, due: steps of each real run, and how many it was to take, fewer than there are where
            it had settled. One that diverged has taken fewer than are due, the last of them that
            whose loss is not finite.
        evaluation: of the real runs, or None where it was interrupted.
        is_thin: whether so many runs are at their end that the others are better trained apart.
    """

    step: int
    seconds: float
    held_bytes: int
    taken: np.ndarray
    due: np.ndarray
    evaluation: Evaluation | None = None
    is_thin: bool = False


class OutOfMemoryError(RuntimeError):
    """A slice does not fit."""


def to_items(state: EnsembleState) -> dict[str, Any]:
    """A state as the items of a checkpoint."""
    params, stats, opt, step = state.train
    # Where runs are not watched there are no ends, as in checkpoints of an older version.
    ends = (state.ends,) if state.ends else ()
    return {MODEL: (params, stats), TRAINING: (opt, step, state.meter, *ends)}


def from_items(items: dict[str, Any]) -> EnsembleState:
    """The inverse of `to_items`."""
    (params, stats), (opt, step, meter, *ends) = items[MODEL], items[TRAINING]
    return EnsembleState(TrainState(params, stats, opt, step), meter, ends[0] if ends else {})


def _names(job: Job, path: Path) -> list[str]:
    """The names of a slice's runs, as the first process sees them."""
    runs = [(run.cell.name, run.seed) for run in job.runs]
    return processes.on_first(lambda: rundir.run_names(path, runs))


def _restore(job: Job, loaded: Slice, path: Path) -> checkpoint.Restored | None:
    """The newest checkpoint, the same on all processes."""
    directory = rundir.slice_directory(path, job.group, job.index)
    items = to_items(job.trainer.template(loaded))
    restored = checkpoint.restore(directory, items, _names(job, path))
    step = 0 if restored is None else restored.step
    if processes.agree(step)[0] != -processes.agree(-step)[0]:
        raise checkpoint.DamagedError(
            f"{directory}: the processes see different checkpoints; wait until all of them see the"
            " same files, then start again"
        )
    return restored


def _resume(job: Job, loaded: Slice, path: Path) -> tuple[int, EnsembleState]:
    """The newest checkpoint's step and state, or those of the start."""
    restored = _restore(job, loaded, path)
    step = 0 if restored is None else restored.step
    if processes.is_first():
        rundir.rewind_metrics(path, {(run.cell.name, run.seed) for run in job.runs}, step)
    if restored is None:
        return 0, job.trainer.init(loaded)
    if restored.skipped:
        directory = rundir.slice_directory(path, job.group, job.index)
        steps = ", ".join(f"{skipped:,}" for skipped in restored.skipped)
        print(f"warning: {job.name}: the checkpoint at step {steps} is damaged; trained again")
        if processes.is_first():
            checkpoint.discard(directory, restored.skipped)
        processes.agree(0.0)  # nobody saves before the damaged ones are gone
    print(f"{job.name}: resuming from step {step:,}", flush=True)
    return step, job.trainer.from_host(loaded, from_items(restored.items))


def evaluate_again(job: Job, path: Path) -> Trained:
    """The evaluation of a slice that was trained to its end, from its checkpoint.

    Raises:
        ConfigError: where there is no checkpoint of that step that can be read.
    """
    print(f"{job.name}: evaluating again ...", flush=True)
    loaded = job.trainer.load(job.placement)
    restored, step = _restore(job, loaded, path), job.entry["step"]
    if restored is None or restored.step != step:
        which = "no checkpoints" if restored is None else f"no readable checkpoint of step {step:,}"
        raise ConfigError(
            f"{path}: has {which}, from which to count again; give the settings of the analysis"
            " that its results were made with"
        )
    state = job.trainer.from_host(loaded, from_items(restored.items))
    trained = _trained(job, loaded, state, step)
    return trained._replace(evaluation=job.trainer.evaluate(loaded, state))


def _trained(
    job: Job, loaded: Slice, state: EnsembleState, step: int, seconds: float = 0.0
) -> Trained:
    """A slice as it is after a step."""
    held = sum(leaf.nbytes for leaf in jax.tree.leaves((loaded.data, state)))
    sound, ends = job.trainer.sound_steps(loaded, state), job.trainer.read_ends(loaded, state)
    due = np.minimum(ends[done.END], step) if ends else np.full(len(job.runs), step)
    return Trained(step, seconds, held, np.where(sound < due, sound + 1, sound), due)


def _is_memory(error: BaseException) -> bool:
    """Whether a device, or the host, had no room; XLA says so in its message alone."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def train_slice(job: Job, config: SweepConfig, path: Path, stop: StopRequest) -> Trained:
    """`_train_slice`, whose arrays are gone when it does not fit.

    Raises:
        OutOfMemoryError: where it does not.
    """
    try:
        return _train_slice(job, config, path, stop)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not _is_memory(error) or jax.process_count() > 1:
            raise
        said = str(error).strip().splitlines()
    raise OutOfMemoryError(said[0] if said else "MemoryError")


def _train_slice(job: Job, config: SweepConfig, path: Path, stop: StopRequest) -> Trained:
    """Trains one slice from its newest checkpoint to the end, or until asked to stop.

    It ends at a line of metrics by which every run has diverged, or is at its own end. Where runs
    are no loop it stops as well once half of them are, for these take as long as the others.
    """
    trainer, directory = job.trainer, rundir.slice_directory(path, job.group, job.index)
    n_runs, names = len(job.runs), _names(job, path)

    def save(step: int, state: EnsembleState) -> None:
        checkpoint.save(directory, step, to_items(state), names, config.keep_checkpoints)

    print(f"{job.name}: making data ...", flush=True)
    loaded = trainer.load(job.placement)
    step, state = _resume(job, loaded, path)
    held_out = trainer.hold_out(loaded) if config.eval_every else None
    watch, ends = Watch(config, job.runs), trainer.read_ends(loaded, state)
    if ends:
        looks = processes.on_first(lambda: looks_of(rundir.read_metrics(path), job.runs))
        if watch.see(looks, ends):
            state = trainer.with_ends(loaded, state, ends)
    # The last step of each run; `watch` brings it forward.
    last = ends[done.END] if ends else np.full(n_runs, config.steps)
    due = np.minimum(last, step)
    saved, diverged, note = step, _diverged(trainer.sound_steps(loaded, state), due), ""
    progress = None
    seconds, taken, n_moving, n_steps = 0.0, 0, n_runs, 1
    print(f"{job.name}: compiling ...", flush=True)
    started = time.monotonic()

    def n_over() -> int:
        """Runs that take no further step; 0 between lines of metrics."""
        if step % config.log_every and step < config.steps:
            return 0
        return len({*np.flatnonzero(last <= step).tolist(), *diverged})

    def is_thin() -> bool:
        if not ends or trainer.is_looped or jax.process_count() > 1:
            return False
        left = n_runs - n_over()
        # As many runs a device as before would spare nothing.
        is_less = -(-left // trainer.n_devices) < -(-n_runs // trainer.n_devices)
        return 0 < 2 * left <= n_runs and is_less

    while n_over() < n_runs and not is_thin():
        if processes.agree(stop.signal is not None)[0]:
            break
        boundaries = (config.log_every, config.save_every)
        room = min(every - step % every for every in boundaries)
        n_steps = max(1, min(n_steps, room, config.steps - step))
        before = time.monotonic()
        state = jax.block_until_ready(trainer.chunk(loaded, state, step, n_steps))
        (took,) = processes.agree(time.monotonic() - before)
        step += n_steps
        if progress is None:
            print(f"{job.name}: compiled in {time.monotonic() - started:.1f} s", flush=True)
            progress = Progress(job.name, config.steps, step)
        else:
            seconds, taken = seconds + took, taken + n_steps * n_moving
            progress.update(n_steps, note)
            # Calls of about a second: often enough to see progress and to stop quickly.
            n_steps = max(1, int(CALL_SECONDS * n_steps / max(took, 1e-6)))
        if step % config.log_every == 0 or step == config.steps:
            state, means = trainer.read_meter(loaded, state)
            scores: Means = {}
            if held_out is not None and (step % config.eval_every == 0 or step == config.steps):
                scores = trainer.score(loaded, held_out, state)
            lines = lines_of(job.runs, means, scores, step, np.flatnonzero(last < step).tolist())
            if processes.is_first():
                rundir.append_metrics(path, lines)
            # What is not finite on other samples gives no run up.
            due = np.minimum(last, step)
            diverged = _report_diverged(job, trainer.sound_steps(loaded, state), diverged, due)
            if ends and watch.see(lines, ends):
                state = trainer.with_ends(loaded, state, ends)
            n_moving = n_runs - n_over()
            rate = job.batch_size * taken / max(seconds, 1e-9)
            note = f"{rate / 1e6:.2f} M samples/s, {median_of(means)}"
        if step % config.save_every == 0 or step == config.steps:
            save(step, state)
            saved = step
    if progress is not None:
        progress.close()
    if saved < step:
        save(step, state)
    trained = _trained(job, loaded, state, step, seconds)
    if n_over() < n_runs:
        return trained._replace(is_thin=is_thin())
    print(f"{job.name}: evaluating ...", flush=True)
    return trained._replace(evaluation=trainer.evaluate(loaded, state))


def _diverged(sound: np.ndarray, due: np.ndarray) -> dict[int, int]:
    """The runs that have diverged, and at which step of theirs."""
    return {int(i): int(sound[i]) + 1 for i in np.flatnonzero(sound < due)}


def _report_diverged(
    job: Job, sound: np.ndarray, known: dict[int, int], due: np.ndarray
) -> dict[int, int]:
    """The runs that have diverged; those not known yet are said."""
    found = _diverged(sound, due)
    for i in sorted(found.keys() - known.keys()):
        run = job.runs[i]
        print(
            f"warning: {run.cell.name}, seed {run.seed}: diverged at step {found[i]:,}, its loss is"
            " not finite; it stops there, the others go on",
            flush=True,
        )
    return found
