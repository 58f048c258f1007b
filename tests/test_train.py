"""The compiled programs: equal to a Python loop, to single runs, on any devices, in any pieces."""

from functools import partial

import jax
import numpy as np
import pytest

from mdvae.chunks import wrap_length
from mdvae.data.sets import data_key, data_kind, make_batch
from mdvae.data.whitening import fit_whitening
from mdvae.ensemble import Run, looped, run_mesh, split_runs, take_runs, unpad_like
from mdvae.grid import make_cells, make_groups
from mdvae.keys import purpose_key
from mdvae.memory import bytes_per_device, place_runs
from mdvae.methods import INPUT, cell_hparams
from mdvae.methods.vae import vae
from mdvae.train import Trainer

GRID = {"kappa": (3, 5), "d": (6, 4), "r": (2,)}


def set_up(config, n_slices=1, n_devices=2):
    (group,) = make_groups(make_cells(config))
    make_method = partial(vae, steps=config.steps, warmup=config.warmup)
    method = make_method(group)
    seeds = range(config.seed, config.seed + config.seeds)
    runs = [Run(cell, seed) for seed in seeds for cell in group.cells]
    placements = split_runs(runs, n_slices, n_devices)
    mesh = run_mesh(jax.devices()[:n_devices])
    return Trainer(config, group, make_method, mesh, placements), placements, method, group


def train_all(config, pieces=None, **kwargs):
    """Params and evaluations of all runs, by cell name and seed."""
    trainer, placements, _, _ = set_up(config, **kwargs)
    found = {}
    for placement in placements:
        part = trainer.load(placement)
        state, step = trainer.init(part), 0
        for n_steps in pieces or [config.steps]:
            state = trainer.chunk(part, state, step, n_steps)
            step += n_steps
        assert step == config.steps
        evaluation = trainer.evaluate(part, state)
        host = take_runs(state, placement.n_runs)
        for i, run in enumerate(placement.slots[: placement.n_runs]):
            row = jax.tree.map(lambda leaf, i=i: leaf[i], (host, evaluation))
            found[run.cell.name, run.seed] = row
    return found


def assert_same(a, b, **tolerance):
    close = partial(np.testing.assert_allclose, **tolerance)
    jax.tree.map(close if tolerance else np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def whole():
    from conftest import tiny_dict

    from mdvae.config import resolve

    config = resolve(tiny_dict(GRID))
    return config, train_all(config)


@pytest.mark.parametrize("pieces", [[1] * 12, [5, 1, 6]])
def test_pieces_of_any_length_are_bitwise_equal(whole, pieces):
    config, expected = whole
    assert_same(train_all(config, pieces), expected)


@pytest.mark.parametrize("kwargs", [{"n_devices": 1}, {"n_slices": 3}, {"n_slices": 8}])
def test_devices_and_slices_do_not_matter(whole, kwargs):
    config, expected = whole
    assert_same(train_all(config, **kwargs), expected, rtol=2e-4, atol=2e-6)


def test_vmapped_equals_looped(whole, monkeypatch):
    config, expected = whole
    for module in ("ensemble", "chunks"):
        monkeypatch.setattr(f"mdvae.{module}.looped", lambda: False)
    assert_same(train_all(config), expected, rtol=1e-4, atol=1e-5)


def test_a_cvae_does_not_depend_on_its_sweep(tiny):
    """Cells of several t, so of conditions of several widths, in one program and alone."""
    grid = {"kappa": (4,), "d": (6,), "r": (3,)}
    fields = {"model": "cvae", "prior": "learned", "attention": True, "condition": "random"}
    found = train_all(tiny({**grid, "t": (1, 3, 2)}, **fields))
    for t in (1, 2):
        alone = train_all(tiny({**grid, "t": (t,)}, seeds=1, seed=1, **fields))
        ((key, (state, evaluation)),) = alone.items()
        state_in_sweep, in_sweep = found[key]
        params = unpad_like(state_in_sweep.train.params, state.train.params)
        assert_same(params, state.train.params, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(in_sweep.nelbo, evaluation.nelbo, rtol=1e-4)


def test_a_cell_does_not_depend_on_its_sweep(whole, tiny):
    config, expected = whole
    for cell in make_cells(config)[1::2]:
        grid = {"kappa": (cell.kappa,), "d": (cell.d,), "r": (cell.r,)}
        alone = train_all(tiny(grid, seeds=1, seed=1))
        (key,) = alone
        state, evaluation = alone[key]
        state_in_sweep, in_sweep = expected[key]
        params = unpad_like(state_in_sweep.train.params, state.train.params)
        assert_same(params, state.train.params, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(in_sweep.nelbo, evaluation.nelbo, rtol=1e-4)


@pytest.mark.parametrize(
    "fields",
    [{}, {"model": "cvae", "prior": "learned", "t": 2}, {"model": "cvae", "data": "union"}],
    ids=["vae", "cvae", "union"],
)
def test_compiled_chunk_equals_python_loop(tiny, fields):
    config = tiny({"kappa": (3,), "d": (6,), "r": (2,)}, seeds=1, seed=5, **fields)
    (found,) = train_all(config).values()
    _, _, method, group = set_up(config)
    (cell,) = group.cells
    hparams = jax.tree.map(np.float32, cell_hparams(cell))
    data = make_batch(data_key(cell, 5), data_kind([cell], "authors"), config.n_train, "train")
    assert ("c" in data) == (cell.c > 0)
    whitening = fit_whitening(data["x"])
    data = {k: np.concatenate([v, v[:, : config.batch_size]], axis=1) for k, v in data.items()}
    state = method.init(purpose_key(5, "init"), cell)
    state = state._replace(params={**state.params, INPUT: whitening})
    for step in range(config.steps):
        key_noise, key_offset = jax.random.split(jax.random.fold_in(purpose_key(5, "step"), step))
        offset = int(jax.random.randint(key_offset, (), 0, config.n_train))
        batch = {k: v[:, offset : offset + config.batch_size] for k, v in data.items()}
        state, _ = method.step(state, batch, method.noise(key_noise, config.batch_size), hparams)
    assert_same(found[0].train.params, state.params, rtol=1e-4, atol=1e-6)
    assert int(found[0].train.step) == config.steps


def test_runs_of_a_seed_share_noise_and_seeds_do_not(whole):
    config, found = whole
    cells = make_cells(config)
    first = found[cells[0].name, 0][0].train.params["encoder"]["Linear_0"]["kernel"]
    other = found[cells[0].name, 1][0].train.params["encoder"]["Linear_0"]["kernel"]
    assert np.abs(first - other).max() > 1e-3


def test_full_batch_is_the_data_set(tiny):
    config = tiny(batch_size=400, steps=3)
    assert wrap_length(400, 400) == 0
    trainer, (placement,), _, _ = set_up(config)
    part = trainer.load(placement)
    assert part.data["x"].shape == (2, 6, 400)  # one seed's on each device
    state = trainer.chunk(part, trainer.init(part), 0, 3)
    assert np.all(np.isfinite(trainer.evaluate(part, state).nelbo))


def test_runs_that_agree_in_seed_and_manifold_share_data(tiny):
    grid = {"kappa": (2, 3, 4), "d": (6,), "r": (2,), "log_gamma": (0.0, -1.0)}
    trainer, (placement,), _, _ = set_up(tiny(grid, seeds=2))
    assert trainer.load(placement).data["x"].shape[0] == 2  # one seed's on each device
    assert len(placement.slots) == 12


def test_meter_is_the_mean_since_it_was_read(tiny):
    config = tiny(seeds=1)
    trainer, (placement,), _, _ = set_up(config)
    part = trainer.load(placement)
    singles, state = [], trainer.init(part)
    for step in range(4):
        state = trainer.chunk(part, state, step, 1)
        state, info = trainer.read_meter(part, state, 1)
        singles.append(info.nelbo)
    state = trainer.chunk(part, trainer.init(part), 0, 4)
    _, info = trainer.read_meter(part, state, 4)
    np.testing.assert_allclose(info.nelbo, np.mean(singles, axis=0), rtol=1e-5)


def test_host_state_restores_on_other_devices(whole):
    config, expected = whole
    trainer, (placement,), _, _ = set_up(config, n_devices=2)
    part = trainer.load(placement)
    state = trainer.chunk(part, trainer.init(part), 0, 7)
    host = take_runs(state, placement.n_runs)
    other, (moved,), _, _ = set_up(config, n_devices=1)
    part = other.load(moved)
    state = other.chunk(part, other.from_host(part, host), 7, config.steps - 7)
    evaluation = other.evaluate(part, state)
    nelbo = [evaluation_in.nelbo for _, evaluation_in in expected.values()]
    np.testing.assert_allclose(np.sort(evaluation.nelbo), np.sort(nelbo), rtol=1e-4)


def test_fewest_slices_that_fit(tiny):
    config = tiny(GRID, seeds=6)
    _, (placement,), method, group = set_up(config)
    runs = placement.slots
    whole_need = bytes_per_device(config, group, 12, 12, 500, looped())
    assert len(place_runs(config, group, method, runs, 2, 10 * whole_need, looped())[0]) == 1
    some, need = place_runs(config, group, method, runs, 2, whole_need // 2, looped())
    assert 1 < len(some) < 12
    assert need <= whole_need // 2
    assert place_runs(config, group, method, runs, 2, 1, looped())[1] > 1
    assert len(place_runs(config, group, method, runs, 2, 1, looped())[0]) == 12


@pytest.mark.parametrize("as_loop", [True, False])
def test_memory_estimate_covers_what_the_compiler_asks_for(tiny, monkeypatch, as_loop):
    for module in ("ensemble", "chunks"):
        monkeypatch.setattr(f"mdvae.{module}.looped", lambda: as_loop)
    config = tiny(GRID, seeds=3, n_train=20_000, n_eval=5_000, batch_size=5_000, hidden=(32,))
    trainer, (placement,), _, group = set_up(config, n_devices=1)
    part = trainer.load(placement)
    state = trainer.init(part)
    arguments = (state, part.data, part.per_run, part.seeds, 0, 1)
    memory = trainer._chunk.lower(*arguments).compile().memory_analysis()
    needed = memory.temp_size_in_bytes + memory.argument_size_in_bytes
    n_params = sum(leaf[0].size for leaf in jax.tree.leaves(state.train.params))
    n_data = part.data["x"].shape[0]
    estimate = bytes_per_device(config, group, 12, n_data, n_params, as_loop)
    assert needed <= estimate <= 6 * needed
