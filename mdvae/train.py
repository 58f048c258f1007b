"""Training a slice of an ensemble: programs from arrays to arrays. No files, no logs.

Keys derive from (seed, purpose, step) alone (`keys`), so nothing random is stored and a resumed
run draws what an uninterrupted one would.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mdvae.chunks import class_of, loop_classes, make_chunk, wrap_length
from mdvae.config import SweepConfig
from mdvae.data.sets import DataKey, data_key, data_kind, make_batch, n_parts
from mdvae.data.whitening import Whitening, fit_whitening
from mdvae.ensemble import (
    EnsembleState,
    Placement,
    Run,
    fill_slots,
    map_runs,
    over_devices,
    pad_like,
    put_rows,
    share,
    take_runs,
)
from mdvae.grid import Group
from mdvae.keys import purpose_key
from mdvae.methods import (
    INPUT,
    Evaluation,
    Info,
    Method,
    TrainState,
    cell_hparams,
    padded_shapes,
)

PyTree = Any


class Slice(NamedTuple):
    """A slice of a group on its devices, apart from the state.

    Attributes:
        placement: which run sits in which slot.
        data: {"x": [data sets, d, n_train + wrap], "c": ...}; see `data.sets.make_batch`.
        inputs: the whitening of each data set, or None where the encoder is fed raw data.
        per_run: hparams and indices into the shared tables, [slots] each.
        seeds: the shared table of seeds.
    """

    placement: Placement
    data: dict[str, jax.Array]
    inputs: Whitening | None
    per_run: dict[str, Any]
    seeds: jax.Array


class Trainer:
    """The compiled programs of one group: make, init, chunk, evaluate.

    All slices have the same shapes, so each program is compiled once.
    """

    def __init__(
        self,
        config: SweepConfig,
        group: Group,
        make_method: Callable[[Group], Method],
        mesh: Mesh,
        placements: Sequence[Placement],
    ):
        self._config = config
        self._group = group
        self._method = make_method(group)
        self._classes = loop_classes(group)
        self._mesh = mesh
        self._placements = placements
        self._n_devices = mesh.devices.size
        self._batch_size = group.cells[0].batch_size
        seeds = [share(_seeds(placement), self._n_devices) for placement in placements]
        data = [share(data_keys(placement), self._n_devices) for placement in placements]
        self._n_seeds = max(len(table.table) for table in seeds) // self._n_devices
        self._n_data = max(len(table.table) for table in data) // self._n_devices
        self._kind = data_kind(group.cells, config.preset)
        self._whitened = group.cells[0].encoder_input == "whitened"
        self._make = over_devices(self._make_local, mesh, 1)
        self._pick = over_devices(lambda table, rows: table[rows], mesh, 2)
        self._chunk = over_devices(make_chunk(config, group, make_method), mesh, 4, 2, donate=(0,))
        self._evaluate = over_devices(self._evaluate_local, mesh, 3)

    def load(self, placement: Placement) -> Slice:
        """Makes the data of a slice and puts all that it needs on the devices."""
        hparams = [cell_hparams(run.cell) for run in placement.slots]
        sizes = [class_of(run.cell, self._classes) for run in placement.slots]
        seeds = share(_seeds(placement), self._n_devices, self._n_seeds)
        sets = share(data_keys(placement), self._n_devices, self._n_data)
        per_run = {
            "hparams": jax.tree.map(lambda *values: np.array(values, np.float32), *hparams),
            "seed": seeds.index,
            "data": sets.index,
            "size": np.array(sizes, np.int32),
        }
        table = put_rows(_stack_keys(sets.table), self._mesh)  # type: ignore[arg-type]
        data = self._make(table)
        return Slice(
            placement=placement,
            data=data,
            inputs=self._fit_inputs(data["x"]) if self._whitened else None,
            per_run=put_rows(per_run, self._mesh),
            seeds=put_rows(np.array(seeds.table, np.uint32), self._mesh),
        )

    @cached_property
    def _initial(self) -> dict[tuple[int, ...], TrainState]:
        """Initial states by (seed, kappa, d, c), padded, on the host.

        Each is drawn at its true shapes (true fan-in). Cells of one shape start from one draw
        per seed; only their log gamma may differ.
        """
        template = padded_shapes(self._method, self._group)
        shapes = {(cell.kappa, cell.d, cell.c): cell for cell in self._group.cells}
        seeds = np.array(sorted({run.seed for place in self._placements for run in place.slots}))

        @jax.jit
        def draw(seeds: jax.Array) -> list[TrainState]:
            keys = jax.vmap(partial(purpose_key, purpose="init"))(seeds)
            return [
                jax.vmap(lambda key, cell=cell: pad_like(self._method.init(key, cell), template))(
                    keys
                )
                for cell in shapes.values()
            ]

        drawn = jax.device_get(draw(seeds.astype(np.uint32)))
        return {
            (int(seed), *shape): jax.tree.map(lambda leaf, i=i: leaf[i], states)
            for shape, states in zip(shapes, drawn, strict=True)
            for i, seed in enumerate(seeds)
        }

    def init(self, part: Slice) -> EnsembleState:
        """Initial states of a slice, on the devices."""
        placement = part.placement

        def start(run: Run) -> TrainState:
            state = self._initial[run.seed, run.cell.kappa, run.cell.d, run.cell.c]
            level = np.float32(run.cell.start_log_gamma)
            return state._replace(params={**state.params, "log_gamma": level})

        states = jax.tree.map(lambda *leaves: np.stack(leaves), *map(start, placement.slots))
        state = put_rows(EnsembleState(states, _zero_meter(len(placement.slots))), self._mesh)
        if part.inputs is None:
            return state
        mine = jax.tree.map(lambda table: self._pick(table, part.per_run["data"]), part.inputs)
        return state._replace(
            train=state.train._replace(params={**state.train.params, INPUT: mine})
        )

    def chunk(self, part: Slice, state: EnsembleState, start: int, n_steps: int) -> EnsembleState:
        """Takes n_steps steps from step `start` on; the given state is used up."""
        return self._chunk(state, part.data, part.per_run, part.seeds, start, n_steps)

    def evaluate(self, part: Slice, state: EnsembleState) -> Evaluation:
        """Evaluates the real runs on fresh samples; NumPy arrays, [runs, parts of data, ...].

        A run whose data have fewer parts than the group's most has no meaning in the others.
        """
        keys = put_rows(_stack_keys(data_keys(part.placement)), self._mesh)
        evaluation = self._evaluate(state.train, part.per_run, keys)
        return take_runs(evaluation, part.placement.n_runs)

    def template(self, part: Slice) -> EnsembleState:
        """Zeros like the real runs' state on the host, whatever the number of devices."""
        return state_template(self._method, self._group, part.placement.n_runs)

    def from_host(self, part: Slice, state: EnsembleState) -> EnsembleState:
        """Puts the real runs' state on this trainer's devices."""
        return put_rows(fill_slots(state, len(part.placement.slots)), self._mesh)

    def read_meter(
        self, part: Slice, state: EnsembleState, n_steps: int
    ) -> tuple[EnsembleState, Info]:
        """Means of the real runs over the last n_steps steps, and the state with meter at zero."""
        means = jax.tree.map(
            lambda total: total / n_steps, take_runs(state.meter, part.placement.n_runs)
        )
        zeros = put_rows(_zero_meter(len(part.placement.slots)), self._mesh)
        return state._replace(meter=zeros), means

    def _fit_inputs(self, x: jax.Array) -> Whitening:
        """The whitening of each data set, rows on the device that holds it."""
        fits: dict[int, Whitening] = {}
        for shard in x.addressable_shards:
            first = shard.index[0].start or 0
            for i, x_DN in enumerate(np.asarray(shard.data)):
                fits[first + i] = fit_whitening(x_DN[:, : self._config.n_train])

        def place(name: str) -> jax.Array:
            sample = getattr(next(iter(fits.values())), name)

            def rows(index: Any) -> np.ndarray:
                return np.stack([getattr(fits[i], name) for i in range(x.shape[0])[index[0]]])

            shape = (x.shape[0], *sample.shape)
            return jax.make_array_from_callback(shape, x.sharding, rows)

        return Whitening(place("mean"), place("matrix"))

    def _make_local(self, data_keys: DataKey) -> dict[str, jax.Array]:
        n, wrap = self._config.n_train, wrap_length(self._batch_size, self._config.n_train)

        def make(key: DataKey) -> dict[str, jax.Array]:
            batch = make_batch(key, self._kind, n, "train")
            return jax.tree.map(lambda x: jnp.concatenate([x, x[:, :wrap]], axis=1), batch)

        return map_runs(make, data_keys)

    def _evaluate_local(self, train, per_run, slot_keys) -> Evaluation:
        n = self._config.n_eval

        def one(run) -> Evaluation:
            state, own, key = run
            noise = self._method.noise(purpose_key(key.seed, "eval_noise"), n)

            def on_part(part: int | None) -> Evaluation:
                batch = make_batch(key, self._kind, n, "eval", part)
                return self._method.evaluate(state, batch, noise, own["hparams"])

            count = n_parts(self._group.cells)
            found = [on_part(part if count > 1 else None) for part in range(count)]
            return jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)

        return map_runs(one, (train, per_run, slot_keys))


def _zero_meter(n_runs: int) -> Info:
    return Info(*(np.zeros(n_runs, np.float32) for _ in Info._fields))  # type: ignore[arg-type]


def _seeds(placement: Placement) -> list[int]:
    return [run.seed for run in placement.slots]


def data_keys(placement: Placement) -> list[DataKey]:
    """What data each slot needs."""
    return [data_key(run.cell, run.seed) for run in placement.slots]


def _stack_keys(keys: Sequence[DataKey]) -> DataKey:
    """One array per field."""
    *sizes, sigma = zip(*keys, strict=True)
    whole = [np.array(values, np.uint32) for values in sizes]
    return DataKey(*whole, np.array(sigma, np.float32))  # type: ignore[arg-type]


def state_template(method: Method, group: Group, n_runs: int) -> EnsembleState:
    """Zeros with the structure, shapes and dtypes of a saved state of n_runs runs."""
    one = padded_shapes(method, group)
    train = jax.tree.map(lambda leaf: np.zeros((n_runs, *leaf.shape), leaf.dtype), one)
    return EnsembleState(train, _zero_meter(n_runs))
