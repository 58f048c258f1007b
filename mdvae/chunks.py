"""The inner loop: steps of all runs of one device, as one program.

Steps are taken in blocks: all noise of a block is drawn first, once per seed, then every run takes
its steps. The order of runs and steps does not change a number, for runs do not meet; but where the
axis of runs is a loop (a CPU), a run's state then stays in its core's cache for a whole block.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mdvae.config import SweepConfig
from mdvae.ensemble import EnsembleState, looped, map_runs, pad_like, unpad_like
from mdvae.grid import Cell, Group, size_classes
from mdvae.keys import purpose_key
from mdvae.methods import Method, padded_shapes

MAX_BLOCK = 8
# Noise of a block, per seed; more would push the states out of the cache.
BLOCK_BYTES = 2**20
FLOAT_BYTES = 4

# The size of a group that each part of a batch has rows of.
BATCH_ROWS = {"x": "d", "c": "c"}

Data = dict[str, jax.Array]


def wrap_length(batch_size: int, n_train: int) -> int:
    """Samples repeated at the end of the data, so that a batch may start anywhere."""
    return batch_size if batch_size < n_train else 0


def loop_classes(group: Group) -> tuple[Group, ...]:
    """The sizes at which steps are taken.

    In a loop over runs each can be taken at nearly its true sizes; a vmap has all runs in one
    product and takes them at the group's.
    """
    return size_classes(group) if looped() else (group,)


def class_of(cell: Cell, classes: tuple[Group, ...]) -> int:
    """Which class a cell is in."""
    return next(
        i for i, part in enumerate(classes) if cell.name in {each.name for each in part.cells}
    )


def block_length(group: Group) -> int:
    """Steps of a block."""
    if not looped():
        return 1
    noise = FLOAT_BYTES * group.kappa * group.cells[0].batch_size
    return max(1, min(MAX_BLOCK, BLOCK_BYTES // noise))


def make_chunk(
    config: SweepConfig, group: Group, make_method: Callable[[Group], Method]
) -> Callable[..., EnsembleState]:
    """The function (state, data, per_run, seeds, start, n_steps) -> state of one device.

    Its number of steps is traced: one program serves pieces of any length.
    """
    n, size = config.n_train, group.cells[0].batch_size
    block = block_length(group)
    padded_method = make_method(group)
    padded = padded_shapes(padded_method, group)

    def draw(seed: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The noise of a step, and where its batch starts: common to all runs of a seed."""
        key = jax.random.fold_in(purpose_key(seed, "step"), step)
        key_noise, key_offset = jax.random.split(key)
        whole = wrap_length(size, n) == 0
        offset = jnp.int32(0) if whole else jax.random.randint(key_offset, (), 0, n)
        return padded_method.noise(key_noise, size), offset

    def at_size(part: Group) -> Callable[..., EnsembleState]:
        """A block of steps of one run, from and to the group's padded shapes."""
        method = make_method(part)
        true = padded_shapes(method, part)

        def steps(carry, own, data, noise_SPKB, offsets_SP, count) -> EnsembleState:
            def step(k: jax.Array, carry: EnsembleState) -> EnsembleState:
                offset = offsets_SP[own["seed"], k]

                def window(name: str, x: jax.Array) -> jax.Array:
                    rows = getattr(part, BATCH_ROWS[name])
                    start = (own["data"], jnp.int32(0), offset)
                    return lax.dynamic_slice(x, start, (1, rows, size))[0]

                batch = {name: window(name, x) for name, x in data.items()}
                noise_KB = lax.dynamic_slice(
                    noise_SPKB,
                    (own["seed"], k, jnp.int32(0), jnp.int32(0)),
                    (1, 1, part.kappa, size),
                )[0, 0]
                train, info = method.step(carry.train, batch, noise_KB, own["hparams"])
                return EnsembleState(train, jax.tree.map(jnp.add, carry.meter, info))

            carry = carry._replace(train=unpad_like(carry.train, true))
            carry = lax.fori_loop(0, count, step, carry)
            return carry._replace(train=pad_like(carry.train, padded))

        return steps

    branches = [at_size(part) for part in loop_classes(group)]

    def chunk(
        state: EnsembleState,
        data: Data,
        per_run: dict[str, Any],
        seeds: jax.Array,
        start: jax.Array,
        n_steps: jax.Array,
    ) -> EnsembleState:
        def body(i: jax.Array, state: EnsembleState) -> EnsembleState:
            first = start + i * block
            steps_P = first + jnp.arange(block, dtype=jnp.int32)
            noise_SPKB, offsets_SP = jax.vmap(
                lambda seed: jax.vmap(lambda step: draw(seed, step))(steps_P)
            )(seeds)
            count = jnp.minimum(block, start + n_steps - first)

            def one(run: tuple[EnsembleState, dict[str, Any]]) -> EnsembleState:
                carry, own = run
                shared = (data, noise_SPKB, offsets_SP, count)
                return lax.switch(own["size"], branches, carry, own, *shared)

            return map_runs(one, (state, per_run))

        return lax.fori_loop(0, (n_steps + block - 1) // block, body, state)

    return chunk
