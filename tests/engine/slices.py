"""Trainers for the tests of the engine, and all runs of a sweep trained by them."""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from mdvae.engine.ensemble import Placement, run_mesh, split_runs, take_runs
from mdvae.engine.trainer import Trainer
from mdvae.methods.base import Method, make_method
from mdvae.settings.config import SweepConfig
from mdvae.settings.grid import Group, Run, make_cells, make_groups


class SetUp(NamedTuple):
    """A trainer of the only group of a config, and the slices that it is to train."""

    config: SweepConfig
    group: Group
    method: Method
    trainer: Trainer
    placements: list[Placement]


def set_up(config, n_slices=1, n_devices=2, piece=0) -> SetUp:
    """A trainer on some devices, for a number of slices."""
    (group,) = make_groups(make_cells(config))
    make = partial(make_method, steps=config.steps)
    seeds = range(config.seed, config.seed + config.seeds)
    runs = [Run(cell, seed) for seed in seeds for cell in group.cells]
    placements = split_runs(runs, n_slices, n_devices)
    mesh = run_mesh(jax.devices()[:n_devices])
    trainer = Trainer(group, make, mesh, placements, piece)
    return SetUp(config, group, make(group), trainer, placements)


def train_all(made: SetUp, pieces=None, evaluated=True) -> dict[tuple[str, int], Any]:
    """State and evaluation of every run at the end of training, by cell name and seed.

    Args:
        pieces: numbers of steps, one after another; by default all at once.
        evaluated: where not, there is None for the evaluation, and nothing to compile for it.
    """
    found = {}
    for placement in made.placements:
        loaded = made.trainer.load(placement)
        state, step = made.trainer.init(loaded), 0
        for n_steps in pieces or [made.config.steps]:
            state = made.trainer.chunk(loaded, state, step, n_steps)
            step += n_steps
        assert step == made.config.steps
        host = take_runs(state, placement.n_runs)
        ends = (host, made.trainer.evaluate(loaded, state) if evaluated else None)
        for i, run in enumerate(placement.slots[: placement.n_runs]):
            row = jax.tree.map(lambda leaf, i=i: leaf[i], ends)
            found[run.cell.name, run.seed] = row
    return found


def assert_same(a, b, **tolerance):
    """Equal trees: bit for bit, or within a tolerance."""
    close = partial(np.testing.assert_allclose, **tolerance)
    jax.tree.map(close if tolerance else np.testing.assert_array_equal, a, b)
