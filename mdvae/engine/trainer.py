"""Training a slice of an ensemble: programs from arrays to arrays. No files, no logs.

Keys derive from (seed, purpose, step) alone (`data.keys`), so nothing random is stored and a
resumed run draws what an uninterrupted one would.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mdvae.data.base import PyTree, stack_tables
from mdvae.engine.chunks import class_of, kind_of, loop_classes, make_chunk, wrap_length
from mdvae.engine.datasets import data_tables, fit_stats, stack_made
from mdvae.engine.done import Ends, no_ends
from mdvae.engine.ensemble import (
    AXIS,
    COUNT,
    EnsembleState,
    Placement,
    fill_slots,
    find_shared,
    looped,
    map_runs,
    over_devices,
    put_rows,
    take_runs,
)
from mdvae.engine.evaluation import Evaluation, HeldOut, in_own_units, make_evaluation
from mdvae.engine.initial import draw_initial, drawn_sizes
from mdvae.methods.base import Method, TrainState, cell_numbers, networks_of
from mdvae.methods.padding import padded_shapes
from mdvae.settings.grid import Group, Run, Sizes, weights_of


class Slice(NamedTuple):
    """A slice of a group on its devices, apart from the state.

    Attributes:
        placement: which run sits in which slot.
        data: {"x": [data sets, ...], "c": ...}, samples extended by `chunks.wrap_length`.
        fitted: stats of the networks that are fitted to each data set, or None.
        per_run: numbers and indices into the shared tables, [slots] each.
        seeds: the shared table of seeds.
    """

    placement: Placement
    data: dict[str, jax.Array]
    fitted: PyTree | None
    per_run: dict[str, Any]
    seeds: jax.Array


class Trainer:
    """The compiled programs of one group: make, init, chunk, evaluate, score.

    All slices have the same shapes, so each program is compiled once.
    """

    def __init__(
        self,
        group: Group,
        make_method: Callable[[Group], Method],
        mesh: Mesh,
        placements: Sequence[Placement],
        piece: int = 0,
        watched: int = 0,
    ):
        """Programs for slices of a group.

        Args:
            piece: samples that are evaluated at once; 0 takes all.
            watched: see `done.watched_steps`.
        """
        self._group = group
        self._watched = watched
        self._method = make_method(group)
        self._classes = loop_classes(group)
        self._mesh = mesh
        self._placements = placements
        self.n_devices = mesh.shape[AXIS]
        self._kind = kind_of(group)
        self._n_train, self._n_eval = self._kind.samples(group.cells[0].data)
        self._law = self._kind.law([cell.data for cell in group.cells], group.sizes)
        self._fit = networks_of(group.cells[0], group.sizes).fit
        seeds = [find_shared(_seeds(placement), self.n_devices) for placement in placements]
        data = [find_shared(data_tables(placement), self.n_devices) for placement in placements]
        self._n_seeds = max(len(shared.table) for shared in seeds) // self.n_devices
        self._n_data = max(len(shared.table) for shared in data) // self.n_devices
        self._make = over_devices(self._make_local, mesh, 1)
        self._pick = over_devices(lambda table, rows: table[rows], mesh, 2)
        self._chunk = over_devices(make_chunk(group, make_method, mesh), mesh, 4, 2, donate=(0,))
        programs = make_evaluation(group, self._method, self._law, self._places(), piece)
        self._evaluate = over_devices(programs.evaluate, mesh, 4)
        self._hold_out = over_devices(programs.hold_out, mesh, 1)
        self._score = over_devices(programs.score, mesh, 4)

    @property
    def is_looped(self) -> bool:
        """Whether runs are a loop, in which one that takes no step costs nothing."""
        return looped(self._group)

    def load(self, placement: Placement) -> Slice:
        """Makes the data of a slice and puts all that it needs on the devices."""
        numbers = [cell_numbers(run.cell) for run in placement.slots]
        sizes = [class_of(run.cell, self._classes) for run in placement.slots]
        seeds = find_shared(_seeds(placement), self.n_devices, self._n_seeds)
        sets = find_shared(data_tables(placement), self.n_devices, self._n_data)
        per_run = {
            "numbers": jax.tree.map(lambda *values: np.array(values, np.float32), *numbers),
            "seed": seeds.index,
            "data": sets.index,
            "size": np.array(sizes, np.int32),
        }
        if self._kind.traced:
            data = self._make(put_rows(stack_tables(sets.table), self._mesh))
        else:
            made = stack_made(
                self._group, placement, self._law, sets.table, self._n_train, "train", None
            )
            wrap, axis = wrap_length(self._group), self._kind.sample_axis
            data = put_rows(jax.tree.map(partial(_wrapped, wrap=wrap, axis=axis), made), self._mesh)
        return Slice(
            placement=placement,
            data=data,
            fitted=self._fit and fit_stats(self._fit, data, self._n_train, self._group),
            per_run=put_rows(per_run, self._mesh),
            seeds=put_rows(np.array(seeds.table, np.uint32), self._mesh),
        )

    @cached_property
    def _initial(self) -> dict[tuple[int, Sizes], TrainState]:
        """Initial states by seed and sizes; see `initial.draw_initial`."""
        seeds = {run.seed for place in self._placements for run in place.slots}
        return draw_initial(self._group, self._method, seeds)

    def init(self, loaded: Slice) -> EnsembleState:
        """Initial states of a slice, on the devices."""
        slots = loaded.placement.slots

        def start(run: Run) -> TrainState:
            state = self._initial[run.seed, drawn_sizes(run.cell.sizes)]
            numbers = {name: np.float32(value) for name, value in cell_numbers(run.cell).items()}
            return self._method.start(state, numbers)

        states = jax.tree.map(lambda *leaves: np.stack(leaves), *map(start, slots))
        ends = no_ends(self._watched, len(slots))
        state = EnsembleState(states, _zero_meter(self._method, len(slots)), ends)
        state = put_rows(state, self._mesh)
        if loaded.fitted is None:
            return state
        mine = jax.tree.map(lambda table: self._pick(table, loaded.per_run["data"]), loaded.fitted)
        return state._replace(train=state.train._replace(stats={**state.train.stats, **mine}))

    def chunk(self, loaded: Slice, state: EnsembleState, start: int, n_steps: int) -> EnsembleState:
        """Takes n_steps steps from step `start` on; the given state is used up."""
        return self._chunk(state, loaded.data, loaded.per_run, loaded.seeds, start, n_steps)

    def evaluate(self, loaded: Slice, state: EnsembleState) -> Evaluation:
        """Evaluates the real runs on fresh samples; NumPy arrays, [runs, parts of data, ...].

        A run whose data have fewer parts than the group's most has no meaning in the others.
        """
        found = self._evaluate(state.train, loaded.per_run, *self._sources(loaded.placement))
        means, blocks = take_runs(found, loaded.placement.n_runs)
        own = partial(in_own_units, self._method, loaded.placement)
        return Evaluation(own(means), own(blocks))

    def hold_out(self, loaded: Slice) -> HeldOut:
        """Makes the samples that `score` takes; the first ones of an evaluation."""
        seeds, sources = self._sources(loaded.placement)
        return HeldOut(seeds, self._hold_out(sources))

    def score(
        self, loaded: Slice, held_out: HeldOut, state: EnsembleState
    ) -> dict[str, np.ndarray]:
        """Mean scores of the real runs while they train, [runs, ...]; see `mean_scores`.

        The mean is over all parts of a run's own data, each as often as its samples are. The noise
        is the same whenever it is called, so that scores of two steps differ by the model alone.
        """
        placement = loaded.placement
        found = self._score(state.train, loaded.per_run, held_out.seeds, held_out.batches)
        parts = [run.cell.parts for run in placement.slots[: placement.n_runs]]
        means = {
            name: np.array(
                [
                    np.average(row[: len(own)], axis=0, weights=weights_of(own))
                    for row, own in zip(values, parts, strict=True)
                ]
            )
            for name, values in take_runs(found, placement.n_runs).items()
        }
        return in_own_units(self._method, placement, means)

    def _sources(self, placement: Placement) -> tuple[jax.Array, Any]:
        """Seeds of the slots, and of which evaluation samples are made: tables, or arrays."""
        tables = find_shared(data_tables(placement), self.n_devices, self._n_data).table
        if self._kind.traced:
            sources = stack_tables(tables)
        else:
            sources = [
                stack_made(self._group, placement, self._law, tables, self._n_eval, "eval", place)
                for place in self._places()
            ]
        return put_rows((np.array(_seeds(placement), np.uint32), sources), self._mesh)

    def template(self, loaded: Slice) -> EnsembleState:
        """Zeros like the real runs' state on the host, whatever the number of devices."""
        return template_of(self._method, self._group, loaded.placement.n_runs, self._watched)

    def from_host(self, loaded: Slice, state: EnsembleState) -> EnsembleState:
        """Puts the real runs' state on this trainer's devices."""
        return put_rows(fill_slots(state, len(loaded.placement.slots)), self._mesh)

    def read_meter(
        self, loaded: Slice, state: EnsembleState
    ) -> tuple[EnsembleState, dict[str, np.ndarray]]:
        """The state with its meter at zero, and means over the steps since that was so last.

        The means are of the real runs, in the order of a line of metrics; those of a run that took
        no step are nan.
        """
        totals = take_runs(state.meter, loaded.placement.n_runs)
        count = np.where(totals[COUNT] > 0, totals[COUNT], np.nan).astype(np.float32)
        means = {name: totals[name] / count for name in self._method.logged}
        zeros = put_rows(_zero_meter(self._method, len(loaded.placement.slots)), self._mesh)
        return state._replace(meter=zeros), in_own_units(self._method, loaded.placement, means)

    def sound_steps(self, loaded: Slice, state: EnsembleState) -> np.ndarray:
        """How many steps each real run took until it diverged, or all of them."""
        return take_runs(state.train.step, loaded.placement.n_runs)

    def read_ends(self, loaded: Slice, state: EnsembleState) -> Ends:
        """The ends of the real runs, to be changed; see `with_ends`."""
        return jax.tree.map(np.array, take_runs(state.ends, loaded.placement.n_runs))

    def with_ends(self, loaded: Slice, state: EnsembleState, ends: Ends) -> EnsembleState:
        """The state with other ends of the real runs."""
        slots = fill_slots(ends, len(loaded.placement.slots))
        return state._replace(ends=put_rows(slots, self._mesh))

    def _make_local(self, tables: Any) -> dict[str, jax.Array]:
        wrap, axis = wrap_length(self._group), self._kind.sample_axis

        def make(table: Any) -> dict[str, jax.Array]:
            batch = self._kind.make(self._law, table, self._n_train, "train", None)
            return jax.tree.map(
                lambda x: jnp.concatenate(
                    [x, jax.lax.slice_in_dim(x, 0, wrap, axis=axis)], axis=axis
                ),
                dict(batch),
            )

        return map_runs(make, tables)

    def _places(self) -> list[int | None]:
        """The parts that are evaluated, by place; one of all samples where there is one part."""
        count = max(len(cell.parts) for cell in self._group.cells)
        return list(range(count)) if count > 1 else [None]


def _wrapped(x: np.ndarray, wrap: int, axis: int) -> np.ndarray:
    """Data sets, [sets, ...], with their first samples repeated at the end."""
    axis = axis if axis < 0 else axis + 1
    return np.concatenate([x, np.take(x, range(wrap), axis=axis)], axis=axis)


def template_of(method: Method, group: Group, n_runs: int, watched: int = 0) -> EnsembleState:
    """Zeros, or the like, in the shapes of the state of some runs of a group on the host.

    Args:
        watched: see `done.watched_steps`.
    """
    one = padded_shapes(method, group)
    train = jax.tree.map(lambda leaf: np.zeros((n_runs, *leaf.shape), leaf.dtype), one)
    return EnsembleState(train, _zero_meter(method, n_runs), no_ends(watched, n_runs))


def _zero_meter(method: Method, n_runs: int) -> dict[str, np.ndarray]:
    sums = {name: np.zeros(n_runs, np.float32) for name in method.logged}
    return {**sums, COUNT: np.zeros(n_runs, np.int32)}


def _seeds(placement: Placement) -> list[int]:
    return [run.seed for run in placement.slots]
