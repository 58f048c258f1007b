"""Timing of the real programs: medians over repeats, compilation apart."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mdvae.engine.costs import step_flops
from mdvae.engine.ensemble import Device, EnsembleState, over_devices, run_mesh, split_runs
from mdvae.engine.trainer import Slice, Trainer
from mdvae.methods.base import Method, make_method
from mdvae.settings.config import SweepConfig
from mdvae.settings.grid import Cell, Group, Run, make_cells, make_groups

PRODUCT_SIZE = 2048
COPY_FLOATS = 2**25
FLOAT_BYTES = 4


class Spread(NamedTuple):
    """Median, least and largest of some repeats."""

    median: float
    low: float
    high: float


class Rate(NamedTuple):
    """How fast some runs train together.

    Attributes:
        runs: how many.
        samples: of all runs, per second.
        flops: of true arithmetic, per second; see `engine.costs.step_flops`.
        compile_seconds: until the first step was done, data apart.
        held_bytes: of data and train states on all devices.
    """

    runs: int
    samples: Spread
    flops: Spread
    compile_seconds: float
    held_bytes: int


class Trial(NamedTuple):
    """A short training, thrown away.

    Attributes:
        load_seconds, compile_seconds: for the data, and for the program with a first step.
        steps_per_second: one value per repeat.
        held_bytes: of data and train states on all devices.
    """

    load_seconds: float
    compile_seconds: float
    steps_per_second: list[float]
    held_bytes: int


def spread(values: Sequence[float]) -> Spread:
    """Median, least and largest."""
    return Spread(float(np.median(values)), float(min(values)), float(max(values)))


def repeat(function: Callable[[], Any], repeats: int) -> list[float]:
    """Seconds of each of some calls, after one that is not counted."""
    jax.block_until_ready(function())
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(function())
        seconds.append(time.perf_counter() - started)
    return seconds


def try_training(trainer: Trainer, load: Callable[[], Slice], seconds: float, repeats: int):
    """Takes real steps on a throwaway state, for about the given time in each repeat."""
    clock = time.perf_counter
    started = clock()
    loaded = load()
    state = jax.block_until_ready(trainer.init(loaded))
    ready = clock()
    state = jax.block_until_ready(trainer.chunk(loaded, state, 0, 1))
    compiled = clock()
    step, n_steps, rates = 1, 1, []

    def advance(state: EnsembleState) -> tuple[EnsembleState, float]:
        before = clock()
        state = jax.block_until_ready(trainer.chunk(loaded, state, step, n_steps))
        return state, clock() - before

    took = 0.0
    while took < 0.5 * seconds:  # find how many steps take the time
        state, took = advance(state)
        step, n_steps = step + n_steps, max(1, int(n_steps * 0.8 * seconds / took))
    for _ in range(repeats):
        state, took = advance(state)
        step, rates = step + n_steps, [*rates, n_steps / took]
    held = sum(leaf.nbytes for leaf in jax.tree.leaves((loaded.data, state)))
    return Trial(ready - started, compiled - ready, rates, held)


def training_rate(
    config: SweepConfig,
    devices: Sequence[Device],
    seconds: float,
    repeats: int,
    n_runs: int | None = None,
    cells: Sequence[Cell] | None = None,
) -> Rate:
    """Trains a config's first group as one ensemble.

    Args:
        n_runs: takes so many of its runs, over more seeds than it has where needed; by default all.
        cells: these instead of the config's.
    """
    (group, *_) = make_groups(tuple(cells or make_cells(config)))
    n_runs = n_runs or len(group.cells) * config.seeds
    n_seeds = -(-n_runs // len(group.cells))
    runs = [Run(cell, seed) for seed in range(n_seeds) for cell in group.cells][:n_runs]
    devices = devices[: min(len(devices), n_runs)]
    mesh = run_mesh(devices)
    placements = split_runs(runs, 1, len(devices))

    def make(group: Group) -> Method:
        return make_method(group, config.steps)

    trainer = Trainer(group, make, mesh, placements)
    trial = try_training(trainer, lambda: trainer.load(placements[0]), seconds, repeats)
    samples = n_runs * group.cells[0].batch_size
    flops = sum(step_flops(run.cell) for run in runs)
    return Rate(
        runs=n_runs,
        samples=spread([samples * rate for rate in trial.steps_per_second]),
        flops=spread([flops * rate for rate in trial.steps_per_second]),
        compile_seconds=trial.compile_seconds,
        held_bytes=trial.held_bytes,
    )


def product_peak(devices: Sequence[Device], repeats: int) -> Spread:
    """Floating-point operations per second of large float32 products on all devices at once."""
    inner = 4

    def multiply(a: jax.Array) -> jax.Array:
        def body(_: jax.Array, b: jax.Array) -> jax.Array:
            return jnp.dot(a[0], b, precision="highest") / PRODUCT_SIZE

        return lax.fori_loop(0, inner, body, a[0])[None]

    mesh = run_mesh(devices)
    program = over_devices(multiply, mesh, 1)
    a = jnp.ones((len(devices), PRODUCT_SIZE, PRODUCT_SIZE))
    flops = 2 * PRODUCT_SIZE**3 * inner * len(devices)
    return spread([flops / seconds for seconds in repeat(lambda: program(a), repeats)])


def memory_bandwidth(devices: Sequence[Device], repeats: int) -> Spread:
    """Bytes per second read and written by x + 1 on arrays larger than any cache."""
    program = over_devices(lambda x: x + 1.0, run_mesh(devices), 1)
    x = program(jnp.zeros((len(devices), COPY_FLOATS)))
    moved = 2 * FLOAT_BYTES * COPY_FLOATS * len(devices)
    return spread([moved / seconds for seconds in repeat(lambda: program(x), repeats)])
