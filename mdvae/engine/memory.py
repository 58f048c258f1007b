"""How many runs fit on a device, and the slices that this makes of a group."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mdvae.data.base import PyTree, stack_tables
from mdvae.engine.chunks import block_length, draw_noise, kind_of, noise_bytes, wrap_length
from mdvae.engine.costs import kept_shapes, peak_bytes, score_bytes, step_bytes
from mdvae.engine.datasets import data_tables
from mdvae.engine.ensemble import Placement, find_shared, looped, split_runs
from mdvae.engine.machine import GIB
from mdvae.methods.base import Method
from mdvae.methods.padding import padded_shapes
from mdvae.networks.base import depends_on_others
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import Group, Run

# Evaluation is cut into pieces down to this many samples.
LEAST_PIECE = 256


class Need(NamedTuple):
    """Bytes that the parts of a training take, each estimated from above.

    Attributes:
        noise: of a block of steps, per seed.
        data: one data set.
        making: making one data set, or the samples of an evaluation; 0 where the host does.
        state: params, stats and state of the optimiser of one run, and their successors.
        step, score: what is in flight in a step, and in an evaluation.
    """

    noise: int
    data: int
    making: int
    state: int
    step: int
    score: int


class Plan(NamedTuple):
    """How a group is cut to fit.

    Attributes:
        placements: one per slice.
        need: bytes that a device needs; more than the budget where even a run a device does not
            fit.
        piece: samples that are evaluated at once.
    """

    placements: list[Placement]
    need: int
    piece: int


def _tree_bytes(tree: PyTree) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _drawing_bytes(group: Group, method: Method) -> int:
    """Bytes of the noise of one step and of drawing it."""
    program = jax.make_jaxpr(lambda key: draw_noise(group, method, key))(jax.random.key(0))
    return noise_bytes(group, method) + peak_bytes(program.jaxpr)


def needs(group: Group, method: Method, piece: int) -> Need:
    """What one run of a group takes, by what for.

    Args:
        piece: samples that are evaluated at once.
    """
    kind, cell = kind_of(group), group.cells[0]
    n_train, n_eval = kind.samples(cell.data)
    making = 0
    if kind.traced:
        law = kind.law([each.data for each in group.cells], group.sizes)
        table = jax.tree.map(lambda x: x[0], stack_tables([kind.table(cell.data, 0)]))

        def make(table: Any) -> Any:
            return dict(kind.make(law, table, max(n_train, n_eval), "train", None))

        making = peak_bytes(jax.make_jaxpr(make)(jax.tree.map(jnp.asarray, table)).jaxpr)
    return Need(
        noise=block_length(group, method) * _drawing_bytes(group, method),
        data=_tree_bytes(kept_shapes(group, n_train + wrap_length(group))),
        making=making,
        state=2 * _tree_bytes(padded_shapes(method, group)),
        step=step_bytes(group, cell.batch_size),
        score=score_bytes(group, piece),
    )


def bytes_per_device(
    group: Group, need: Need, n_runs: int, n_data: int, n_seeds: int, n_eval: int
) -> int:
    """Memory that one device needs for n_runs runs on n_data data sets of n_seeds seeds.

    What is in flight is that of one run where the axis of runs is a loop, of all runs where it is
    vmapped.
    """
    loop = looped(group)
    at_once = 1 if loop else n_runs
    kind = kind_of(group)
    # What is made on the host is kept for all data sets, and all parts of one are read at once.
    sets = 1 if kind.traced else max(len(cell.parts) for cell in group.cells)
    evaluated = sets * _tree_bytes(kept_shapes(group, n_eval))
    kept = 0 if kind.traced else n_data * evaluated
    return (
        n_seeds * need.noise
        + n_data * need.data
        + kept
        + (1 if loop else max(n_data, n_runs)) * need.making
        + n_runs * need.state
        + at_once * (max(need.step, need.score) + evaluated)
    )


# What one run must hold however it is trained, of what is free: more than this cannot be meant, as
# the limit that somebody has set may be.
MOST_OVER = 16


def _check_held(group: Group, need: Need, budget: int) -> None:
    """Refuses a run whose data and weights alone are far more than there is."""
    n_eval = kind_of(group).samples(group.cells[0].data)[1]
    held = need.data + _tree_bytes(kept_shapes(group, n_eval)) + need.state // 2
    if held > MOST_OVER * max(budget, GIB):
        raise ConfigError(
            f"memory: one run of {group.cells[0].name} must hold {held / GIB:.3g} GiB of samples"
            f" and weights and {budget / GIB:.3g} are free; give fewer samples, or narrower"
            " networks"
        )


def _evaluated(group: Group, method: Method, budget: int) -> tuple[int, Need]:
    """Samples that are evaluated at once, and what a run then takes."""
    piece = kind_of(group).samples(group.cells[0].data)[1]
    need = needs(group, method, piece)
    _check_held(group, need, budget)
    # What memory there is must not decide by whose statistics samples are evaluated.
    is_whole = depends_on_others(group.cells[0])
    while not is_whole and piece > LEAST_PIECE and need.score > max(need.step, budget // 2):
        piece = -(-piece // 2)
        need = need._replace(score=score_bytes(group, piece))
    return piece, need


def piece_of(group: Group, method: Method, budget: int) -> int:
    """Samples that are evaluated at once, for a budget of bytes a device."""
    return _evaluated(group, method, budget)[0]


def place_runs(
    group: Group, method: Method, runs: Sequence[Run], n_devices: int, budget: int
) -> Plan:
    """As few equal slices as fit into the budget (bytes a device); at worst a run a device each."""
    piece, need = _evaluated(group, method, budget)
    placements, total = split_runs(runs, 1, n_devices), 0
    for n_slices in range(1, math.ceil(len(runs) / n_devices) + 1):
        placements = split_runs(runs, n_slices, n_devices)
        tables = [find_shared(data_tables(placement), n_devices).table for placement in placements]
        seeds = [
            find_shared([run.seed for run in placement.slots], n_devices).table
            for placement in placements
        ]
        total = bytes_per_device(
            group,
            need,
            n_runs=len(placements[0].slots) // n_devices,
            n_data=max(map(len, tables)) // n_devices,
            n_seeds=max(map(len, seeds)) // n_devices,
            n_eval=kind_of(group).samples(group.cells[0].data)[1],
        )
        if total <= budget:
            break
    return Plan(placements, total, piece)
