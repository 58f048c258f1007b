"""The compiled programs: equal to a Python loop, to single runs, on any devices, in any pieces."""

from functools import cache

import jax
import numpy as np
import pytest
from conftest import tiny_dict
from slices import assert_same, set_up, train_all

from mdvae.data.base import stack_tables
from mdvae.data.keys import purpose_key
from mdvae.data.whitening import fit_whitening
from mdvae.engine.chunks import kind_of, loop_classes, wrap_length
from mdvae.engine.ensemble import COUNT, take_runs
from mdvae.methods.base import cell_numbers, make_method
from mdvae.methods.padding import true_shapes, unpad_like
from mdvae.networks.mlp import INPUT
from mdvae.settings.config import resolve
from mdvae.settings.grid import Group

# Of two cells, the one with more latents has the narrower data.
GRID = {
    "wide": {"kappa": (3,), "d": (6,), "r": (2,)},
    "narrow": {"kappa": (5,), "d": (4,), "r": (2,)},
}


@cache
def made_for(n_slices=1, n_devices=2, piece=0):
    """The same eight runs in some slices on some devices."""
    return set_up(resolve(tiny_dict(GRID, seeds=4)), n_slices, n_devices, piece)


@pytest.fixture(scope="module")
def whole():
    return made_for(), train_all(made_for())


# Cells of several t, so of conditions of several widths.
CONDITIONAL = {"kappa": (4,), "d": (6,), "r": (3,), "t": (1, 3, 2)}
CVAE = {"model": "cvae", "prior": "learned", "attention": True, "condition": "random"}


@pytest.fixture(scope="module")
def conditional():
    made = set_up(resolve(tiny_dict(CONDITIONAL, **CVAE)))
    return made, train_all(made)


@pytest.fixture(scope="module")
def union():
    grid = {"kappa": (3,), "d": (6,), "r": (2,)}
    made = set_up(resolve(tiny_dict(grid, seeds=1, seed=5, model="cvae", data="union")))
    return made, train_all(made, evaluated=False)


@pytest.mark.parametrize("pieces", [pytest.param([1] * 12, marks=pytest.mark.long), [5, 1, 6]])
def test_pieces_of_any_length_are_bitwise_equal(whole, pieces):
    made, expected = whole
    assert_same(train_all(made, pieces), expected)
    assert made.trainer._chunk._cache_size() == 1


@pytest.mark.parametrize(
    "kwargs",
    [
        {"n_slices": 8},
        *(
            pytest.param(each, marks=pytest.mark.long)
            for each in ({"n_devices": 1}, {"n_slices": 3})
        ),
    ],
)
def test_devices_and_slices_do_not_matter(whole, kwargs):
    _, expected = whole
    made = made_for(**kwargs)
    found = train_all(made)
    assert len(made.placements) == min(kwargs.get("n_slices", 1), 8)
    assert found.keys() == expected.keys()
    assert_same(found, expected, rtol=2e-4, atol=2e-6)
    assert made.trainer._chunk._cache_size() == 1


def test_vmapped_equals_looped(whole, monkeypatch):
    made, expected = whole
    assert len(loop_classes(made.group)) == 2
    for module in ("ensemble", "chunks", "memory"):
        monkeypatch.setattr(f"mdvae.engine.{module}.looped", lambda group=None: False)
    assert len(loop_classes(made.group)) == 1
    assert_same(train_all(set_up(made.config)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_evaluation_in_pieces_is_that_at_once(whole):
    """The 200 samples of an evaluation in pieces of 64, the last one smaller."""
    _, expected = whole
    found = train_all(made_for(n_devices=1, piece=64))
    for key, (_, evaluation) in found.items():
        assert_same(evaluation, expected[key][1], rtol=2e-4, atol=2e-6)


def alone_and_among(found, made):
    """A run that was trained alone, and its state and evaluation among others."""
    ((key, (state, evaluation)),) = train_all(made).items()
    among, evaluation_among = found[key]
    true = true_shapes(made.method, made.group.cells[0])
    return (state, evaluation), (unpad_like(among.train, true), evaluation_among)


@pytest.mark.long
def test_a_cvae_does_not_depend_on_its_sweep(conditional, tiny):
    """The cell of the narrowest condition alone; another is compared with a Python loop below."""
    _, found = conditional
    made = set_up(tiny({**CONDITIONAL, "t": (1,)}, seeds=1, seed=1, **CVAE))
    assert made.group.sizes.c == 1
    (state, evaluation), (train, among) = alone_and_among(found, made)
    assert_same(train.params, state.train.params, rtol=1e-3, atol=1e-5)
    assert_same(train.stats, state.train.stats, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(among.means["nelbo"], evaluation.means["nelbo"], rtol=1e-4)


@pytest.mark.long
def test_a_cell_does_not_depend_on_its_sweep(whole, tiny):
    made, expected = whole
    for cell in made.group.cells:
        grid = {"kappa": (cell.sizes.kappa,), "d": (cell.sizes.d,), "r": (cell.sizes.r,)}
        alone = set_up(tiny(grid, seeds=1, seed=1))
        (state, evaluation), (train, among) = alone_and_among(expected, alone)
        assert_same(train.params, state.train.params, rtol=1e-3, atol=1e-5)
        assert_same(train.stats, state.train.stats, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(among.means["nelbo"], evaluation.means["nelbo"], rtol=1e-4)


# The contracts run over those with a condition too, in fewer steps.
LESSER = [pytest.param(name, marks=pytest.mark.long) for name in ("conditional", "union")]


@pytest.mark.parametrize("sweep", ["whole", *LESSER])
def test_compiled_chunk_equals_python_loop(sweep, request):
    """The last run of a sweep, step by step at its true sizes."""
    made, found = request.getfixturevalue(sweep)
    config, kind, cell = made.config, kind_of(made.group), made.group.cells[-1]
    seed = config.seed + config.seeds - 1
    method = make_method(Group((cell,), cell.sizes), config.steps)
    numbers = {name: np.float32(value) for name, value in cell_numbers(cell).items()}
    table = jax.tree.map(lambda column: column[0], stack_tables([kind.table(cell.data, seed)]))
    law = kind.law([cell.data], cell.sizes)
    n, _ = kind.samples(cell.data)
    data = jax.jit(lambda table: kind.make(law, table, n, "train", None))(table)
    assert ("c" in data) == (cell.sizes.c > 0)
    whitening = fit_whitening(np.asarray(data["x"]))
    data = {k: np.concatenate([v, v[:, : config.batch_size]], axis=1) for k, v in data.items()}
    state = method.start(jax.jit(lambda: method.init(purpose_key(seed, "init"), cell))(), numbers)
    state = state._replace(stats={INPUT: whitening})

    @jax.jit
    def draw(step):
        key = jax.random.fold_in(purpose_key(seed, "step"), step)
        key_noise, key_offset = jax.random.split(key)
        offset = jax.random.randint(key_offset, (), 0, n)
        return method.noise(key_noise, config.batch_size), offset

    one_step, totals = jax.jit(method.step), dict.fromkeys(method.logged, 0.0)
    for step in range(config.steps):
        noise, offset = draw(step)
        batch = {k: v[:, int(offset) : int(offset) + config.batch_size] for k, v in data.items()}
        state, info = one_step(state, batch, noise, numbers)
        totals = {name: totals[name] + float(info[name]) for name in totals}
    end, _ = found[cell.name, seed]
    train = unpad_like(end.train, state)
    assert_same(train.params, state.params, rtol=1e-4, atol=1e-6)
    assert_same(train.stats, state.stats, rtol=1e-4, atol=1e-6)
    assert int(end.train.step) == config.steps
    assert int(end.meter[COUNT]) == config.steps
    assert_same({k: end.meter[k] for k in totals}, totals, rtol=1e-4)


def test_seeds_do_not_share_noise(whole):
    made, found = whole
    name = made.group.cells[0].name
    first, other = (
        found[name, seed][0].train.params["encoder"]["Linear_0"]["kernel"] for seed in (0, 1)
    )
    assert np.abs(first - other).max() > 1e-3


def test_whitening_is_fitted_to_each_data_set(whole):
    """Each run is fed data whitened by its own training samples, without those that are repeated.

    The width d and the seed tell the data sets apart; padded rows stay at zero.
    """
    made, found = whole
    (placement,) = made.placements
    data = made.trainer.load(placement)
    sets, places = np.asarray(data.data["x"]), np.asarray(data.per_run["data"])
    n_train = made.config.data.n_train
    assert sets.shape == (8, 6, n_train + made.config.batch_size)
    means = set()
    for slot, run in enumerate(placement.slots):
        device = slot // (len(placement.slots) // 2)
        x = sets[device * 4 + places[slot], :, :n_train]
        assert not x[run.cell.sizes.d :].any()
        assert x[: run.cell.sizes.d].any(axis=1).all()
        fitted = found[run.cell.name, run.seed][0].train.stats[INPUT]
        assert_same(fitted, fit_whitening(x))
        assert not fitted.matrix[run.cell.sizes.d :].any()
        means.add(tuple(fitted.mean))
    assert len(means) == 8


def test_raw_data_are_not_whitened(tiny):
    grid = {"kappa": (3,), "d": (6,), "r": (2,)}
    made = set_up(tiny(grid, encoder_input="raw", seeds=1))
    (placement,) = made.placements
    loaded = made.trainer.load(placement)
    assert loaded.fitted is None
    assert made.trainer.init(loaded).train.stats == {}


@pytest.mark.long
def test_full_batch_is_the_data_set(tiny):
    made = set_up(tiny({"kappa": (3,), "d": (6,), "r": (2,)}, batch_size=400, steps=3))
    assert wrap_length(made.group) == 0
    (placement,) = made.placements
    loaded = made.trainer.load(placement)
    assert loaded.data["x"].shape == (2, 6, 400)  # one seed's on each device
    state = made.trainer.chunk(loaded, made.trainer.init(loaded), 0, 3)
    assert np.all(np.isfinite(made.trainer.evaluate(loaded, state).means["nelbo"]))


def test_runs_that_agree_in_seed_and_manifold_share_data(tiny):
    grid = {"kappa": (2, 3, 4), "d": (6,), "r": (2,), "log_gamma": (0.0, -1.0)}
    made = set_up(tiny(grid, seeds=2, encoder_input="raw"))
    (placement,) = made.placements
    assert made.trainer.load(placement).data["x"].shape[0] == 2  # one seed's on each device
    assert len(placement.slots) == 12


def test_meter_is_the_mean_since_it_was_read(whole):
    made, _ = whole
    (placement,) = made.placements
    loaded = made.trainer.load(placement)
    singles, state = [], made.trainer.init(loaded)
    for step in range(4):
        state = made.trainer.chunk(loaded, state, step, 1)
        state, means = made.trainer.read_meter(loaded, state)
        assert tuple(means) == made.method.logged
        singles.append(means)
    state = made.trainer.chunk(loaded, made.trainer.init(loaded), 0, 4)
    state, means = made.trainer.read_meter(loaded, state)
    for name in means:
        expected = np.mean([single[name] for single in singles], axis=0)
        np.testing.assert_allclose(means[name], expected, rtol=1e-5)
    assert not any(np.any(total) for total in jax.device_get(state.meter).values())


@pytest.mark.parametrize("log_every", [4, 3])
def test_meter_survives_a_checkpoint_between_two_lines(whole, log_every):
    """Saved at step 5, one step after a line, and gone on with lines of another length."""
    made, _ = whole
    (placement,) = made.placements
    loaded, trainer = made.trainer.load(placement), made.trainer
    singles, state = [], trainer.init(loaded)
    for step in range(9):
        state = trainer.chunk(loaded, state, step, 1)
        state, means = trainer.read_meter(loaded, state)
        singles.append(means["nelbo"])

    state = trainer.chunk(loaded, trainer.init(loaded), 0, 4)
    state, _ = trainer.read_meter(loaded, state)
    state = trainer.chunk(loaded, state, 4, 1)
    host = take_runs(state, placement.n_runs)
    assert set(host.meter[COUNT]) == {1}
    state, step = trainer.from_host(loaded, host), 5
    first = 4  # of the steps that the next line is about
    while step < 9:
        n_steps = min(log_every - step % log_every, 9 - step)
        state = trainer.chunk(loaded, state, step, n_steps)
        step += n_steps
        state, means = trainer.read_meter(loaded, state)
        expected = np.mean(singles[first:step], axis=0)
        np.testing.assert_allclose(means["nelbo"], expected, rtol=1e-5)
        first = step


@pytest.mark.long
def test_host_state_restores_on_other_devices(whole):
    made, expected = whole
    (placement,) = made.placements
    loaded = made.trainer.load(placement)
    state = made.trainer.chunk(loaded, made.trainer.init(loaded), 0, 7)
    host = take_runs(state, placement.n_runs)
    like = made.trainer.template(loaded)
    jax.tree.map(
        lambda a, b: np.testing.assert_equal((a.shape, a.dtype), (b.shape, b.dtype)), host, like
    )
    other = made_for(n_devices=1)
    (moved,) = other.placements
    loaded = other.trainer.load(moved)
    state = other.trainer.from_host(loaded, host)
    state = other.trainer.chunk(loaded, state, 7, made.config.steps - 7)
    nelbo = other.trainer.evaluate(loaded, state).means["nelbo"]
    runs = moved.slots[: moved.n_runs]
    in_order = [expected[run.cell.name, run.seed][1].means["nelbo"] for run in runs]
    np.testing.assert_allclose(nelbo, in_order, rtol=1e-4)


@pytest.mark.long
def test_held_out_scores_are_of_the_first_samples_of_each_part(tiny, monkeypatch):
    """Unions of two and of three manifolds in one program: a run has no more parts than its own."""
    monkeypatch.setattr("mdvae.engine.evaluation.HELD_OUT_SAMPLES", 40)
    grid = {"kappa": (3,), "d": (6,), "r": (2, 3)}
    made = set_up(tiny(grid, seeds=1, model="cvae", data="union"), n_devices=2)
    (placement,) = made.placements
    trainer, loaded = made.trainer, made.trainer.load(placement)
    held_out = trainer.hold_out(loaded)
    assert [batch["x"].shape[1:] for batch in held_out.batches] == [(6, 13)] * 3
    state = trainer.chunk(loaded, trainer.init(loaded), 0, 3)
    found = trainer.score(loaded, held_out, state)
    assert set(found) == {"nelbo", "recon", "kl", "ratio"}  # no counts, no gamma
    assert found["ratio"].shape == (2, 3)
    kind, host = kind_of(made.group), take_runs(state, placement.n_runs)
    for i, run in enumerate(placement.slots[: placement.n_runs]):
        cell = run.cell
        method = make_method(Group((cell,), cell.sizes), made.config.steps)
        own = unpad_like(jax.tree.map(lambda x, i=i: x[i], host.train), true_shapes(method, cell))
        law, table = kind.law([cell.data], cell.sizes), kind.table(cell.data, run.seed)
        table = jax.tree.map(lambda column: column[0], stack_tables([table]))
        noise = method.noise(purpose_key(run.seed, "eval_noise"), 13)
        numbers = {name: np.float32(value) for name, value in cell_numbers(cell).items()}
        by_part = []
        for part in range(len(cell.parts)):
            batch = jax.tree.map(
                lambda x: x[:, :13], kind.make(law, table, made.config.data.n_eval, "eval", part)
            )
            by_part.append(float(method.score(own, batch, noise, numbers)["nelbo"].mean()))
        assert found["nelbo"][i] == pytest.approx(np.mean(by_part), rel=1e-4)
    again = trainer.score(loaded, held_out, state)
    assert_same(again, found)
