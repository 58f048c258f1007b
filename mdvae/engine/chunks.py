"""The inner loop: steps of all runs of one device, as one program.

Steps are taken in blocks: all noise of a block is drawn first, once per seed, then every run takes
its steps. The order of runs and steps does not change a number, for runs do not meet; but where the
axis of runs is a loop (a CPU), a run's state then stays in its core's cache for a whole block.

A run that has settled ends before the others (see `engine.done`). One of which something logged is
not finite has diverged: it takes no further step, and its own count of steps, which stays at those
that were sound, tells it from the others ever after.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh

from mdvae.data.base import EPOCH, TURN, DataKind, PyTree
from mdvae.data.keys import purpose_key
from mdvae.engine.done import END, rate_left
from mdvae.engine.ensemble import COUNT, EnsembleState, looped, map_runs, split_batch
from mdvae.methods.base import Method
from mdvae.methods.padding import pad_like, padded_shapes, unpad_like
from mdvae.settings.grid import Cell, Group, size_classes
from mdvae.settings.registry import DATA

MAX_BLOCK = 8
# Noise of a block, per seed; more would push the states out of the cache.
BLOCK_BYTES = 2**20

Data = dict[str, jax.Array]


class Orders(NamedTuple):
    """In which order the samples of some epochs come.

    Attributes:
        epoch: the first of them.
        places_SEN: by seed and epoch, the places of all samples.
    """

    epoch: jax.Array
    places_SEN: jax.Array


def kind_of(group: Group) -> DataKind:
    """The kind of a group's data."""
    return DATA.find(group.cells[0].data.kind)


def wrap_length(group: Group) -> int:
    """Samples repeated at the end of the data, so that a window may start anywhere."""
    kind, cell = kind_of(group), group.cells[0]
    n, _ = kind.samples(cell.data)
    return 0 if kind.order_of(cell.data) == EPOCH or cell.batch_size == n else cell.batch_size


def loop_classes(group: Group) -> tuple[Group, ...]:
    """The sizes at which steps are taken.

    In a loop over runs each can be taken at nearly its true sizes; a vmap has all runs in one
    product and takes them at the group's.
    """
    return size_classes(group) if looped(group) else (group,)


def class_of(cell: Cell, classes: tuple[Group, ...]) -> int:
    """Which class a cell is in."""
    return next(i for i, each in enumerate(classes) if cell in each.cells)


class Noise(NamedTuple):
    """The noise of one step: the method's, and what samples are drawn with, or ()."""

    of_method: PyTree
    of_data: PyTree


def draw_noise(group: Group, method: Method, key: jax.Array) -> Noise:
    """The noise of one step at a group's sizes."""
    kind, size = kind_of(group), group.cells[0].batch_size
    of_data = (
        () if kind.noise is None else kind.noise(group.sizes, jax.random.fold_in(key, 1), size)
    )
    return Noise(method.noise(key, size), of_data)


def noise_shapes(group: Group, method: Method) -> Noise:
    """Shapes and dtypes of the noise of one step."""
    return jax.eval_shape(lambda key: draw_noise(group, method, key), jax.random.key(0))


def noise_bytes(group: Group, method: Method) -> int:
    """Bytes of the noise of one step."""
    leaves = jax.tree.leaves(noise_shapes(group, method))
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)


def block_length(group: Group, method: Method) -> int:
    """Steps of a block."""
    if not looped(group):
        return 1
    return max(1, min(MAX_BLOCK, BLOCK_BYTES // max(noise_bytes(group, method), 1)))


def leading(leaf: jax.Array, shape: tuple[int, ...], *starts: jax.Array) -> jax.Array:
    """The part of an array that begins at `starts`, then at 0, of a shape behind the starts."""
    places = (*starts, *(jnp.int32(0) for _ in shape))
    return lax.dynamic_slice(leaf, places, (1,) * len(starts) + shape).reshape(shape)


def make_chunk(
    group: Group, make_method: Callable[[Group], Method], mesh: Mesh
) -> Callable[..., EnsembleState]:
    """The function (state, data, per_run, seeds, start, n_steps) -> state of one device of a mesh.

    Its number of steps is traced: one program serves any number of them.
    """
    kind, settings = kind_of(group), group.cells[0].data
    size, order = group.cells[0].batch_size, kind.order_of(settings)
    n, _ = kind.samples(settings)
    padded_method = make_method(group)
    padded = padded_shapes(padded_method, group)
    block = block_length(group, padded_method)
    per_epoch = n // size
    # Epochs that a block of steps may reach into.
    most = (block + per_epoch - 2) // per_epoch + 1

    def windows(seed: jax.Array, steps_P: jax.Array) -> tuple[PyTree, jax.Array]:
        """The noise of each step, and where its batch starts: common to all runs of a seed."""

        def draw(step: jax.Array) -> tuple[PyTree, jax.Array]:
            key = jax.random.fold_in(purpose_key(seed, "step"), step)
            key_noise, key_offset = jax.random.split(key)
            if order == TURN:
                # The last batch of an epoch is filled up from the first samples.
                offset = (step % -(-n // size)) * size
            elif wrap_length(group) == 0:
                offset = jnp.int32(0)
            else:
                offset = jax.random.randint(key_offset, (), 0, n)
            return draw_noise(group, padded_method, key_noise), offset

        return jax.vmap(draw)(steps_P)

    def orders_of(seeds: jax.Array, orders: Orders, step: jax.Array) -> Orders:
        """The orders of the epochs from that of a step on.

        Drawn anew where they are not those of the block before: to sort all samples is dear.
        """

        def permuted(seed: jax.Array, epoch: jax.Array) -> jax.Array:
            key = jax.random.fold_in(purpose_key(seed, "epoch"), epoch)
            return jax.random.permutation(key, n)

        def draw() -> jax.Array:
            epochs_E = epoch + jnp.arange(most, dtype=jnp.int32)
            return jax.vmap(lambda seed: jax.vmap(lambda e: permuted(seed, e))(epochs_E))(seeds)

        epoch = step // per_epoch
        return Orders(epoch, lax.cond(epoch == orders.epoch, lambda: orders.places_SEN, draw))

    def epochs(
        seed: jax.Array, steps_P: jax.Array, first: jax.Array, orders_EN: jax.Array
    ) -> tuple[PyTree, jax.Array]:
        """The noise of each step, and the places of its samples, [steps, batch].

        Samples beyond whole batches are left out of an epoch; others in each.

        Args:
            first: the epoch of the first order.
        """

        def draw(step: jax.Array) -> tuple[PyTree, jax.Array]:
            key = jax.random.fold_in(purpose_key(seed, "step"), step)
            place = (step // per_epoch - first, (step % per_epoch) * size)
            mine = lax.dynamic_slice(orders_EN, place, (1, size))[0]
            return draw_noise(group, padded_method, key), mine

        return jax.vmap(draw)(steps_P)

    def take(x: jax.Array, shape: tuple[int, ...], own: dict[str, Any], place: jax.Array):
        """A batch of one array of a run's data set, at the shape of a sample."""
        axis = kind.sample_axis % (len(shape) + 1)
        wanted = (*shape[:axis], size, *shape[axis:])
        if order == EPOCH:
            # Samples first: indices of both axes are read in one gather.
            chosen = jnp.moveaxis(x, axis + 1, 1)[own["data"], place]
            return leading(jnp.moveaxis(chosen, 0, axis), wanted)
        starts = [jnp.int32(0)] * len(wanted)
        starts[axis] = place
        return lax.dynamic_slice(x, (own["data"], *starts), (1, *wanted))[0]

    def at_sizes(members: Group) -> Callable[..., EnsembleState]:
        """A block of steps of one run, from and to the group's padded shapes."""
        method = make_method(members)
        true, shapes = padded_shapes(method, members), kind.shapes(members.sizes)
        noise_like = noise_shapes(members, method)

        def steps(carry, own, data, noise_SP, places_SP, first, count) -> EnsembleState:
            def goes_on(at: tuple[jax.Array, EnsembleState]) -> jax.Array:
                k, carry = at
                goes_on = (k < count) & (carry.train.step == first + k)
                return goes_on & (carry.train.step < carry.ends[END]) if carry.ends else goes_on

            def step(at: tuple[jax.Array, EnsembleState]) -> tuple[jax.Array, EnsembleState]:
                k, carry = at
                place = places_SP[own["seed"], k]
                kept = {name: take(x, shapes[name], own, place) for name, x in data.items()}
                noise = jax.tree.map(
                    lambda leaf, like: leading(leaf, like.shape, own["seed"], k),
                    noise_SP,
                    noise_like,
                )
                drawn = kind.drawn(kind.seen(kept), noise.of_data)
                batch = split_batch(drawn, mesh, kind.sample_axis)
                numbers = own["numbers"]
                if carry.ends:
                    left = rate_left(carry.train.step, carry.ends)
                    numbers = {**numbers, "learning_rate": left * numbers["learning_rate"]}
                train, info = method.step(carry.train, batch, noise.of_method, numbers)
                sound = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(info)]
                is_sound = jnp.all(jnp.stack(sound))
                taken = jnp.where(is_sound, train.step, carry.train.step)
                seen = {**info, COUNT: jnp.int32(1)}
                meter = jax.tree.map(jnp.add, carry.meter, seen)
                return k + 1, EnsembleState(train._replace(step=taken), meter, carry.ends)

            carry = carry._replace(train=unpad_like(carry.train, true))
            _, carry = lax.while_loop(goes_on, step, (jnp.int32(0), carry))
            return carry._replace(train=pad_like(carry.train, padded))

        return steps

    branches = [at_sizes(members) for members in loop_classes(group)]

    def chunk(
        state: EnsembleState,
        data: Data,
        per_run: dict[str, Any],
        seeds: jax.Array,
        start: jax.Array,
        n_steps: jax.Array,
    ) -> EnsembleState:
        def body(i: jax.Array, carry: tuple[EnsembleState, Any]) -> tuple[EnsembleState, Any]:
            state, orders = carry
            first = start + i * block
            steps_P = first + jnp.arange(block, dtype=jnp.int32)
            if order == EPOCH:
                orders = orders_of(seeds, orders, first)
                noise_SP, places_SP = jax.vmap(
                    lambda seed, orders_EN: epochs(seed, steps_P, orders.epoch, orders_EN)
                )(seeds, orders.places_SEN)
            else:
                noise_SP, places_SP = jax.vmap(lambda seed: windows(seed, steps_P))(seeds)
            count = jnp.minimum(block, start + n_steps - first)

            def one(run: tuple[EnsembleState, dict[str, Any]]) -> EnsembleState:
                carry, own = run
                shared = (data, noise_SP, places_SP, first, count)
                return lax.switch(own["size"], branches, carry, own, *shared)

            return map_runs(one, (state, per_run), group), orders

        orders: Any = ()
        if order == EPOCH:
            none_SEN = jnp.zeros((len(seeds), most, n), jnp.int32)
            orders = Orders(jnp.int32(-1), none_SEN)
        blocks = (n_steps + block - 1) // block
        return lax.fori_loop(0, blocks, body, (state, orders))[0]

    return chunk
