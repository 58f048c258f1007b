"""The axis of runs: pad, stack, place on devices, map over. The one place where it is added."""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mdvae.data.base import PyTree
from mdvae.engine.processes import gather
from mdvae.methods.base import TrainState
from mdvae.settings.grid import Group, Run
from mdvae.settings.registry import NETWORKS

Device = Any  # a jax.Device, which is no type to a type checker
AXIS = "runs"
# Of devices that share one run: each has a share of every batch.
SAMPLES = "samples"
# Of a meter: how many steps it has summed over.
COUNT = "count"


class Placement(NamedTuple):
    """Where the runs of one slice sit.

    Slot i belongs to device i // (len(slots) / devices). Slots beyond the real runs repeat the
    last one and are dropped when results are read.

    Attributes:
        slots: the runs, then their repeats.
        n_runs: how many are real.
    """

    slots: tuple[Run, ...]
    n_runs: int


class Shared(NamedTuple):
    """Things that several runs of a device use in common, each held once a device.

    Attributes:
        table: the things, device by device, equally many on each.
        index: per slot, the position among those of its own device.
    """

    table: tuple[Hashable, ...]
    index: np.ndarray


class EnsembleState(NamedTuple):
    """The state of some runs, stacked.

    Attributes:
        meter: sums of what steps return since the last line of metrics.
        ends: where runs that have settled end, see `engine.done`; {} where none are watched.
    """

    train: TrainState
    meter: dict[str, Any]
    ends: dict[str, Any]


def run_mesh(devices: Sequence[Device], n_runs: int = 0, batch_sizes: Sequence[int] = ()) -> Mesh:
    """A mesh of devices, of all processes where there are several, over runs and over samples.

    Each run has a device of its own or less. Where there are fewer runs than devices, as many
    devices as all batches can be split over share each.

    Args:
        n_runs: how many there are to place; 0 where that does not matter.
        batch_sizes: of these runs.
    """
    rows = len(devices)
    if n_runs and jax.process_count() == 1:
        rows = min(n_runs, rows)
    shares = range(len(devices) // rows, 0, -1)
    each = next(n for n in shares if all(size % n == 0 for size in batch_sizes))
    return Mesh(np.array(devices[: rows * each]).reshape(rows, each), (AXIS, SAMPLES))


def split_batch(batch: dict[str, jax.Array], mesh: Mesh, sample_axis: int) -> dict[str, jax.Array]:
    """A batch of a run, split over the devices that share the run.

    What is computed from it is what one device would compute: sums over samples, such as gradients
    and the statistics of batch normalisation, are over all of it.
    """
    if mesh.shape[SAMPLES] == 1:
        return batch

    def split(x: jax.Array) -> jax.Array:
        axes = [SAMPLES if axis == sample_axis % x.ndim else None for axis in range(x.ndim)]
        return jax.lax.with_sharding_constraint(x, PartitionSpec(*axes))

    return jax.tree.map(split, batch)


def split_runs(runs: Sequence[Run], n_slices: int, n_devices: int) -> list[Placement]:
    """Cuts runs into slices of one common size, a multiple of the devices."""
    per_slice = math.ceil(len(runs) / n_slices)
    starts = range(0, len(runs), per_slice)
    return [filled(runs[start : start + per_slice], per_slice, n_devices) for start in starts]


def filled(runs: Sequence[Run], most: int, n_devices: int) -> Placement:
    """The placement of some runs in a slice for so many, filled up to a multiple of the devices."""
    n_slots = math.ceil(most / n_devices) * n_devices
    return Placement((*runs, *(runs[-1],) * (n_slots - len(runs))), len(runs))


def find_shared(keys: Sequence[Hashable], n_devices: int, size: int | None = None) -> Shared:
    """Finds what the slots of each device have in common.

    Args:
        keys: per slot, what it needs.
        n_devices: slots are split evenly and in order over them.
        size: entries of each device's table; by default as many as the neediest device has.
    """
    per_device = len(keys) // n_devices
    by_device = [keys[i * per_device : (i + 1) * per_device] for i in range(n_devices)]
    tables = [list(dict.fromkeys(mine)) for mine in by_device]
    size = size or max(map(len, tables))
    index = [
        table.index(key) for table, mine in zip(tables, by_device, strict=True) for key in mine
    ]
    padded = [key for table in tables for key in table + table[-1:] * (size - len(table))]
    return Shared(tuple(padded), np.array(index, np.int32))


def looped(group: Group | None = None) -> bool:
    """Whether the runs of a group are a loop in the program, rather than a vmapped axis.

    On a CPU they are: one run's activations stay in the cache of their core, which measures 15 %
    (18 runs) to 60 % (90 runs) faster than vmap. On accelerators they are where the kind of
    networks wants it so.
    """
    wanted = group is not None and NETWORKS.find(group.cells[0].networks.kind).loop
    return wanted or jax.default_backend() == "cpu"


def map_runs(
    function: Callable[[PyTree], PyTree], runs: PyTree, group: Group | None = None
) -> PyTree:
    """Maps a function of one run over the leading axis of its argument; see `looped`."""
    if looped(group):
        return jax.lax.map(function, runs)
    return jax.vmap(function)(runs)


def over_devices(
    function: Callable[..., PyTree],
    mesh: Mesh,
    n_sharded: int,
    n_replicated: int = 0,
    donate: tuple[int, ...] = (),
) -> Any:
    """Compiles a function of one device's rows: the first arguments are split over devices.

    Devices that share a run compute it together; see `split_batch`.
    """
    sharded, replicated = PartitionSpec(AXIS), PartitionSpec()
    # How a batch is split is left to the compiler, where it is.
    by_hand = {AXIS} if mesh.shape.get(SAMPLES, 1) > 1 else set(mesh.axis_names)
    mapped = jax.shard_map(
        function,
        mesh=mesh,
        in_specs=(sharded,) * n_sharded + (replicated,) * n_replicated,
        out_specs=sharded,
        check_vma=False,
        axis_names=by_hand,
    )
    return jax.jit(mapped, donate_argnums=donate)


def put_rows(tree: PyTree, mesh: Mesh) -> PyTree:
    """Puts a tree of NumPy arrays on the devices, rows split evenly.

    Each process puts the rows of its own devices; all must hold the same arrays.
    """
    sharding = NamedSharding(mesh, PartitionSpec(AXIS))

    def put(leaf: np.ndarray) -> jax.Array:
        return jax.make_array_from_callback(leaf.shape, sharding, lambda index: leaf[index])

    return jax.tree.map(put, tree)


def take_runs(tree: PyTree, n_runs: int) -> PyTree:
    """The rows of the real runs, as NumPy arrays on every process's host."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:n_runs], gather(tree))


def fill_slots(tree: PyTree, n_slots: int) -> PyTree:
    """The inverse of `take_runs`: repeats the last row until there are n_slots."""

    def fill(leaf: np.ndarray) -> np.ndarray:
        missing = n_slots - leaf.shape[0]
        return np.concatenate([leaf, np.repeat(leaf[-1:], missing, axis=0)])

    return jax.tree.map(fill, tree)
