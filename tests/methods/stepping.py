"""Steps of one run, alone and padded, common to the tests of several models."""

from functools import partial

import jax
import numpy as np

from mdvae.data.base import stack_tables
from mdvae.methods.base import cell_numbers, make_method, networks_of
from mdvae.methods.padding import pad_like, padded_shapes, unpad_like
from mdvae.settings.grid import Group
from mdvae.settings.registry import DATA

BATCH = 40


def numbers_of(cell):
    """The numbers of a cell as the engine hands them on."""
    return {name: np.float32(value) for name, value in cell_numbers(cell).items()}


def alone(cell, steps):
    """The method of a cell at its true sizes."""
    return make_method(Group((cell,), cell.sizes), steps)


def start_of(method, cell, seed=0):
    """The state before the first step."""
    return method.start(method.init(jax.random.key(seed), cell), numbers_of(cell))


def batches(cell, n, size=BATCH):
    """Batches that are no data set: uniform x, and a normal condition where there is one."""
    rng = np.random.default_rng(cell.sizes.d)
    found = {"x": rng.uniform(0, 1, (n, cell.sizes.d, size)).astype(np.float32)}
    if cell.sizes.c:
        found["c"] = rng.normal(size=(n, cell.sizes.c, size)).astype(np.float32)
    return [{name: x[i] for name, x in found.items()} for i in range(n)]


def samples_of(cell, n):
    """n samples of a cell's own data."""
    kind = DATA.find(cell.data.kind)
    law, table = kind.law([cell.data], cell.sizes), stack_tables([kind.table(cell.data, 3)])
    make = jax.jit(lambda table: kind.make(law, table, n, "train", None))
    return make(jax.tree.map(lambda column: column[0], table))


def assert_padded_equals_unpadded(group, cells, steps):
    """Values, gradients, some steps and scores of cells, alone and at the sizes of their group."""
    wide_method = make_method(group, steps)
    wide_step, wide_score = jax.jit(wide_method.step), jax.jit(wide_method.score)
    template = padded_shapes(wide_method, group)
    for cell in cells:
        method, numbers, data = alone(cell, steps), numbers_of(cell), batches(cell, steps)
        step, score = jax.jit(method.step), jax.jit(method.score)
        state = start_of(method, cell, seed=2)
        fit = networks_of(cell).fit
        if fit is not None:
            whole = {k: np.concatenate([each[k] for each in data], axis=1) for k in data[0]}
            state = state._replace(stats={**state.stats, **fit(whole)})
        wide_state = pad_like(state, template)
        noise = np.asarray(jax.random.normal(jax.random.key(1), (steps, group.sizes.kappa, BATCH)))
        for i, batch in enumerate(data):
            wide = {
                name: np.pad(x, ((0, getattr(group.sizes, axis) - len(x)), (0, 0)))
                for (name, x), axis in zip(batch.items(), "dc", strict=False)
            }
            state, info = step(state, batch, noise[i, : cell.sizes.kappa], numbers)
            wide_state, wide_info = wide_step(wide_state, wide, noise[i], numbers)
            if i == 0:
                # The first moment of Adam after one step is (1 - b1) times the gradient.
                grads = unpad_like(wide_state.opt.mu, state.opt.mu)
                close = partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-6)
                jax.tree.map(close, grads, state.opt.mu)
                jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), wide_info, info)
        np.testing.assert_allclose(wide_info["nelbo"], info["nelbo"], rtol=1e-3, atol=1e-3)
        close = partial(np.testing.assert_allclose, rtol=2e-3, atol=2e-4)
        jax.tree.map(close, unpad_like(wide_state.params, state.params), state.params)
        # What was padded is still exactly zero, in the optimiser too.
        rebuilt = pad_like(unpad_like(wide_state, state), template)
        jax.tree.map(np.testing.assert_array_equal, rebuilt, wide_state)

        kappa = cell.sizes.kappa
        found = score(state, batch, noise[0, :kappa], numbers)
        wide_found = wide_score(wide_state, wide, noise[0], numbers)
        for name in ("nelbo", "recon", "kl", "log_gamma"):
            np.testing.assert_allclose(wide_found[name], found[name], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(wide_found["ratio"][:kappa], found["ratio"], rtol=1e-2)
        np.testing.assert_allclose(wide_found["ratio"][kappa:], 1.0)
        np.testing.assert_array_equal(wide_found["active"][: kappa + 1], found["active"])
        np.testing.assert_array_equal(np.sum(wide_found["active"], axis=0), 1.0)
