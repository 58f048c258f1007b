"""Placing and sharing of runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdvae.engine.ensemble import (
    AXIS,
    SAMPLES,
    fill_slots,
    find_shared,
    looped,
    map_runs,
    over_devices,
    put_rows,
    run_mesh,
    split_batch,
    split_runs,
    take_runs,
)
from mdvae.settings.grid import Run, make_cells, make_groups
from mdvae.settings.registry import NETWORKS

runs_strategy = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 3)), min_size=1, max_size=40, unique=True
)


@given(runs_strategy, st.integers(1, 6), st.integers(1, 5))
def test_split_keeps_every_run_once_and_all_slices_one_shape(pairs, n_slices, n_devices):
    runs = [Run(*pair) for pair in pairs]
    placements = split_runs(runs, n_slices, n_devices)
    real = [run for placement in placements for run in placement.slots[: placement.n_runs]]
    assert real == runs
    assert len({len(placement.slots) for placement in placements}) == 1
    assert len(placements[0].slots) % n_devices == 0
    assert len(placements) <= n_slices


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(1, 4))
def test_share_finds_each_key_on_its_own_device(keys, n_devices):
    keys = keys * n_devices
    shared = find_shared(keys, n_devices)
    per_device, size = len(keys) // n_devices, len(shared.table) // n_devices
    found = [
        shared.table[(slot // per_device) * size + index] for slot, index in enumerate(shared.index)
    ]
    assert found == keys
    assert size == max(
        len(set(keys[i * per_device : (i + 1) * per_device])) for i in range(n_devices)
    )


def test_fill_and_take():
    tree = {"a": np.arange(6).reshape(3, 2)}
    filled = fill_slots(tree, 5)
    np.testing.assert_array_equal(filled["a"][3:], [[4, 5], [4, 5]])
    np.testing.assert_array_equal(take_runs(filled, 3)["a"], tree["a"])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.integers(1, 3), st.integers(6, 9))
def test_a_table_of_a_given_size_is_filled_up(keys, n_devices, size):
    """Slices of one program have tables of one size, whatever each of them needs."""
    shared = find_shared(keys * n_devices, n_devices, size)
    assert len(shared.table) == n_devices * size
    assert set(shared.table) == set(keys)
    assert set(shared.index) == set(range(len(set(keys))))


@pytest.mark.parametrize("as_loop", [True, False])
def test_map_runs_is_a_python_loop(monkeypatch, as_loop):
    monkeypatch.setattr("mdvae.engine.ensemble.looped", lambda group=None: as_loop)
    runs = {"a": np.arange(12.0, dtype=np.float32).reshape(4, 3), "b": np.arange(4)}
    found = map_runs(lambda run: {"sum": run["a"].sum(), "b": run["b"] * 2}, runs)
    np.testing.assert_array_equal(found["sum"], runs["a"].sum(axis=1))
    np.testing.assert_array_equal(found["b"], 2 * runs["b"])
    traced = str(jax.make_jaxpr(lambda runs: map_runs(lambda run: run["a"] + 1.0, runs))(runs))
    assert ("scan" in traced) == as_loop


def test_runs_are_looped_on_a_cpu_and_where_networks_want_it(tiny, monkeypatch):
    (group,) = make_groups(make_cells(tiny()))
    assert looped()
    assert looped(group)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not looped()
    assert not looped(group)
    monkeypatch.setitem(NETWORKS._kinds, "mlp", NETWORKS.find("mlp")._replace(loop=True))
    assert not looped()
    assert looped(group)


def test_rows_go_to_devices_and_back():
    mesh = run_mesh(jax.devices()[:2])
    rows = {"a": np.arange(8, dtype=np.float32).reshape(4, 2)}
    placed = put_rows(rows, mesh)
    shards = sorted((s.index[0].start or 0, s.data.shape) for s in placed["a"].addressable_shards)
    assert shards == [(0, (2, 2)), (2, (2, 2))]

    def shifted(rows, shift):
        return {"a": rows["a"] + shift, "size": jnp.full(rows["a"].shape[0], rows["a"].shape[0])}

    found = take_runs(over_devices(shifted, mesh, 1, 1)(placed, np.float32(1.0)), 3)
    np.testing.assert_array_equal(found["a"], rows["a"][:3] + 1.0)
    np.testing.assert_array_equal(found["size"], [2, 2, 2])


@pytest.mark.parametrize(
    ("n_runs", "n_devices", "batch_sizes", "shape"),
    [
        (8, 4, [100], (4, 1)),
        (3, 8, [100], (3, 2)),
        (1, 8, [100], (1, 5)),
        (1, 8, [100, 40, 6], (1, 2)),
        (1, 4, [7], (1, 1)),
        (0, 4, [], (4, 1)),
    ],
)
def test_fewer_runs_than_devices_share_them(n_runs, n_devices, batch_sizes, shape):
    """Each has as many as all batches can be split over, up to an even share."""

    class Device:
        pass

    devices = [Device() for _ in range(n_devices)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mdvae.engine.ensemble.Mesh", lambda devices, axes: (devices.shape, axes))
        assert run_mesh(devices, n_runs, batch_sizes) == (shape, (AXIS, SAMPLES))


def test_a_batch_is_split_and_sums_over_it_are_whole():
    mesh = run_mesh(jax.devices()[:2], 1, [6])
    assert dict(mesh.shape) == {AXIS: 1, SAMPLES: 2}

    def total(rows, batch):
        batch = split_batch({"x": batch}, mesh, -1)
        return rows + jnp.sum(batch["x"] ** 2)

    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    program = over_devices(total, mesh, 1, 1)
    found = program(put_rows(np.zeros((1,), np.float32), mesh), x)
    np.testing.assert_allclose(take_runs(found, 1), [np.sum(x**2)])
    compiled = program.lower(put_rows(np.zeros((1,), np.float32), mesh), x).compile()
    assert "all-reduce" in compiled.as_text()
