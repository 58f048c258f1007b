"""The inner loop: which samples a step sees, in epochs and in windows, and the noise of all sizes.

Everything here is seen by a method that writes it down, on data whose samples are numbered.
"""

import dataclasses
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import as_one_batch

from mdvae.data.base import EPOCH, FEATURE_MAJOR, TURN, WINDOW, DataKind, DataSizes
from mdvae.data.keys import purpose_key
from mdvae.engine.chunks import block_length, leading, loop_classes
from mdvae.engine.ensemble import run_mesh, split_runs, take_runs
from mdvae.engine.trainer import Trainer
from mdvae.methods.base import Method, MethodKind, TrainState, make_method
from mdvae.networks.base import Networks, NetworksKind
from mdvae.settings.config import default_config, resolve
from mdvae.settings.fields import Section, fixed, required, whole
from mdvae.settings.grid import Run, make_cells, make_groups
from mdvae.settings.registry import DATA, METHODS, NETWORKS

STEPS = 11
N, BATCH = 23, 5  # four whole batches an epoch; three samples are left out of each
PER_EPOCH = N // BATCH


@dataclasses.dataclass(frozen=True)
class Numbered(Section):
    """Samples that are their own places; 100 more from each dimension to the next."""

    d: int = required(whole(1))
    n: int = fixed(N, whole(1))


class Table(NamedTuple):
    d: int


@dataclasses.dataclass(frozen=True)
class Latent(Section):
    """No networks but a width."""

    kappa: int = required(whole(1))


def numbered_data(order, sample_axis):
    """Data made on the host, with samples first or last."""

    def make(law, table, n, split, part):
        x_ND = np.arange(n)[:, None] + 100 * np.arange(table.d)[None, :]
        return {"x": np.moveaxis(x_ND.astype(np.float32), 0, sample_axis)}

    return DataKind(
        settings=Numbered,
        sizes=lambda settings, told: DataSizes(settings.d),
        samples=lambda settings: (settings.n, 20),
        table=lambda settings, seed: Table(settings.d),
        make=make,
        sample_axis=sample_axis,
        order=order,
        traced=False,
    )


def make_recorder(group, steps, networks):
    """A method that writes down the samples and the noise of each step."""
    batch_size, sizes = group.cells[0].batch_size, group.sizes
    axis = DATA.find(group.cells[0].data.kind).sample_axis

    def init(key, cell):
        own = cell.sizes
        seen = {
            "x": jnp.zeros((steps, batch_size, own.d)),
            "latent": jnp.zeros((steps, own.kappa, batch_size)),
            "sample": jnp.zeros((steps, batch_size)),
        }
        return TrainState({}, seen, (), jnp.zeros((), jnp.int32))

    def noise(key, n):
        keys = jax.random.split(key)
        return {
            "latent": jax.random.normal(keys[0], (sizes.kappa, n)),
            "sample": jax.random.normal(keys[1], (n,)),
        }

    def step(state, batch, noise, numbers):
        now = {"x": jnp.moveaxis(batch["x"], axis, 0), **noise}
        seen = {name: state.stats[name].at[state.step].set(now[name]) for name in now}
        return state._replace(stats=seen, step=state.step + 1), {"first": now["x"][0, 0]}

    return Method(
        init=init,
        start=lambda state, numbers: state,
        noise=noise,
        step=step,
        score=lambda state, batch, noise, numbers: {"first": jnp.take(batch["x"], 0, axis)},
        logged=("first",),
    )


KINDS = {
    "epoch_rows": numbered_data(EPOCH, 0),
    "epoch_columns": numbered_data(EPOCH, FEATURE_MAJOR),
    "window_rows": numbered_data(WINDOW, 0),
    "turn_rows": numbered_data(lambda settings: TURN, 0),
}


@pytest.fixture(autouse=True, scope="module")
def registered():
    """The kinds of this file, as a module of one's own would add them."""
    no_networks = NetworksKind(Latent, lambda settings, sizes: Networks(None, None, None))  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        for registry, kinds in (
            (DATA, KINDS),
            (METHODS, {"recorder": MethodKind(settings=Section, make=make_recorder)}),
            (NETWORKS, {"recorder": no_networks}),
        ):
            registry.names()
            for name, kind in kinds.items():
                patch.setitem(registry._kinds, name, kind)
        yield


class Recording(NamedTuple):
    """A trainer of eight runs of four sizes, its slice, and its method."""

    trainer: Trainer
    placement: object
    group: object
    method: Method


@cache
def recording(data="epoch_rows", batch_size=BATCH, n_devices=1):
    config = default_config(data=data, method="recorder", networks="recorder")
    config.grid = {"kappa": (1, 3), "d": (1, 2)}
    config.update({"seeds": 2, "steps": STEPS, "batch_size": batch_size})
    (group,) = make_groups(make_cells(resolve(config)))
    runs = [Run(cell, seed) for seed in range(2) for cell in group.cells]
    (placement,) = split_runs(runs, 1, n_devices)
    make, mesh = partial(make_method, steps=STEPS), run_mesh(jax.devices()[:n_devices])
    return Recording(Trainer(group, make, mesh, [placement]), placement, group, make(group))


def seen_by(made, pieces=(STEPS,), then=None):
    """What each run has seen, by cell and seed.

    Args:
        pieces: numbers of steps; the state goes to the host and back after each, as by way of a
            checkpoint.
        then: a recording that takes the pieces from the second on.
    """
    loaded, start = made.trainer.load(made.placement), 0
    host = take_runs(made.trainer.init(loaded), made.placement.n_runs)
    for n_steps in pieces:
        state = made.trainer.from_host(loaded, host)
        host = take_runs(made.trainer.chunk(loaded, state, start, n_steps), made.placement.n_runs)
        start += n_steps
        if then is not None and start == pieces[0]:
            made, loaded = then, then.trainer.load(then.placement)
    assert start == STEPS
    return {
        (run.cell.name, run.seed): jax.tree.map(lambda leaf, i=i: leaf[i], host.train.stats)
        for i, run in enumerate(made.placement.slots[: made.placement.n_runs])
    }


def assert_same(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def epochs_of(seen):
    """Places of the samples of each whole epoch."""
    whole_epochs = seen["x"][: STEPS // PER_EPOCH * PER_EPOCH, :, 0]
    return whole_epochs.reshape(-1, PER_EPOCH * BATCH)


@pytest.mark.parametrize(
    "data", [pytest.param("epoch_rows", marks=pytest.mark.long), "epoch_columns"]
)
def test_an_epoch_has_each_sample_once(data):
    found = seen_by(recording(data))
    epochs = epochs_of(found["kappa1-d1", 0])
    assert len(epochs) == 2
    for epoch in epochs:
        assert len(set(epoch)) == PER_EPOCH * BATCH
        assert set(epoch) <= set(range(N))
    # Epochs and seeds have orders of their own, and leave out samples of their own.
    epochs = [*epochs, *epochs_of(found["kappa1-d1", 1])]
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert len({frozenset(epoch) for epoch in epochs}) > 1
    for (name, seed), seen in found.items():
        first = found["kappa1-d1", seed]
        np.testing.assert_array_equal(seen["x"][..., 0], first["x"][..., 0])
        # A sample is whole, and what is beyond its width is zero.
        if name.endswith("d2"):
            np.testing.assert_array_equal(seen["x"][..., 1], first["x"][..., 0] + 100)
        else:
            assert not seen["x"][..., 1].any()


def test_orders_are_drawn_from_seed_and_epoch_alone():
    found = seen_by(recording())
    for seed in range(2):
        for i in range(STEPS):
            epoch, place = divmod(i, PER_EPOCH)
            key = jax.random.fold_in(purpose_key(seed, "epoch"), epoch)
            order = np.asarray(jax.random.permutation(key, N))[place * BATCH : (place + 1) * BATCH]
            np.testing.assert_array_equal(found["kappa1-d1", seed]["x"][i, :, 0], order)


def test_an_epoch_of_a_single_batch():
    """Every step has each sample once, in another order."""
    seen = seen_by(recording(batch_size=N))["kappa3-d2", 1]["x"][..., 0]
    np.testing.assert_array_equal(np.sort(seen, axis=1), np.tile(np.arange(N), (STEPS, 1)))
    assert len(set(map(tuple, seen))) == STEPS


@pytest.mark.parametrize("pieces", [(1,) * STEPS, (3, 8), (6, 1, 4)])
def test_pieces_of_any_length_see_the_same(pieces):
    """Blocks of steps are longer than an epoch, and pieces begin anywhere in one."""
    made = recording()
    assert block_length(made.group, made.method) > PER_EPOCH
    assert_same(seen_by(made, pieces), seen_by(made))
    assert made.trainer._chunk._cache_size() == 1


def test_resumed_in_the_middle_of_an_epoch_on_other_devices():
    assert_same(seen_by(recording(), (6, 5), recording(n_devices=2)), seen_by(recording()))


def test_vmapped_runs_see_the_same(monkeypatch):
    expected = seen_by(recording())
    as_one_batch(monkeypatch)
    made = recording.__wrapped__()
    assert block_length(made.group, made.method) == 1
    assert len(loop_classes(made.group)) == 1
    # There all runs are at the group's sizes, and see the noise of their padding too.
    found = seen_by(made)
    for (name, seed), seen in expected.items():
        kappa = int(name[5])
        assert_same(found[name, seed]["latent"][:, :kappa], seen["latent"][:, :kappa])
        assert_same(
            {k: found[name, seed][k] for k in ("x", "sample")},
            {k: seen[k] for k in ("x", "sample")},
        )


def test_noise_has_its_padded_axis_first_and_samples_last():
    made = recording()
    shapes = jax.eval_shape(lambda key: made.method.noise(key, 7), jax.random.key(0))
    assert {name: leaf.shape for name, leaf in shapes.items()} == {"latent": (3, 7), "sample": (7,)}
    assert [each.sizes.kappa for each in loop_classes(made.group)] == [1, 3, 1, 3]


def test_a_smaller_cell_sees_the_leading_rows_of_the_noise():
    """Of one draw at the group's sizes, once per seed and step; no row of it is another's."""
    made = recording()
    found = seen_by(made)
    for seed in range(2):
        for i in range(STEPS):
            key = jax.random.fold_in(purpose_key(seed, "step"), i)
            drawn = made.method.noise(key, BATCH)
            for name, kappa in (("kappa1-d1", 1), ("kappa1-d2", 1), ("kappa3-d2", 3)):
                seen = found[name, seed]
                np.testing.assert_array_equal(seen["latent"][i, :kappa], drawn["latent"][:kappa])
                assert not seen["latent"][i, kappa:].any()
                np.testing.assert_array_equal(seen["sample"][i], drawn["sample"])
    wide = np.stack([found["kappa3-d1", seed]["latent"] for seed in range(2)])
    assert len(np.unique(wide)) == wide.size


def test_windows_of_data_made_on_the_host_go_around():
    """Neighbours from anywhere on; after the last sample comes the first."""
    found = seen_by(recording("window_rows"))
    starts = []
    for seed in range(2):
        for i in range(STEPS):
            key = jax.random.fold_in(purpose_key(seed, "step"), i)
            start = int(jax.random.randint(jax.random.split(key)[1], (), 0, N))
            places = (start + np.arange(BATCH)) % N
            np.testing.assert_array_equal(found["kappa1-d1", seed]["x"][i, :, 0], places)
            starts.append(start)
    assert max(starts) > N - BATCH


def test_samples_in_turn_are_the_same_for_all_seeds_and_fill_the_last_batch_of_an_epoch():
    found = seen_by(recording("turn_rows"), (4, 7))
    starts = [BATCH * (i % 5) for i in range(STEPS)]
    places = (np.array(starts)[:, None] + np.arange(BATCH)) % N
    assert set(places[:5].ravel()) == set(range(N))
    for seen in found.values():
        np.testing.assert_array_equal(seen["x"][..., 0], places)


def test_leading_parts():
    x = jnp.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    found = leading(x, (2, 5), jnp.int32(1), jnp.int32(2))
    np.testing.assert_array_equal(found, x[1, 2, :2])
    np.testing.assert_array_equal(leading(x[0, 0], (3, 1)), x[0, 0, :3, :1])
