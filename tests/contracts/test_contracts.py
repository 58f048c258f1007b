"""What every registered kind must keep: one set of tests, run over the registries.

A new method, a new kind of networks or of data is in here as soon as it is registered. A kind whose
required fields are not named below needs an entry in FIELDS or AXES.
"""

import atexit
import copy
import dataclasses
import itertools
import json
import shutil
import tempfile
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import TINY, finished_run, killed_at_checkpoint

from mdvae import sweep
from mdvae.data.base import stack_tables
from mdvae.data.keys import purpose_key
from mdvae.data.units import OWN, to_networks
from mdvae.engine.chunks import kind_of
from mdvae.engine.ensemble import COUNT, run_mesh, split_runs, take_runs
from mdvae.engine.trainer import Trainer
from mdvae.methods.base import cell_numbers, make_method, networks_of, units_of
from mdvae.methods.padding import pad_like, padded_shapes, true_shapes, unpad_like
from mdvae.networks.images import ImageNetworks
from mdvae.settings.axes import known_axes
from mdvae.settings.config import default_config, from_json, resolve
from mdvae.settings.fields import FIXED, fields_of
from mdvae.settings.grid import Group, Run, largest, make_cells, make_groups
from mdvae.settings.pacing import paced_by
from mdvae.settings.registry import DATA, METHODS, NETWORKS, OPTIMISERS, SECTIONS

# Two cells that differ in every size that is padded; a kind uses the axes that it has.
SMALL = {"kappa": (2,), "d": (5,), "r": (2,), "cell": ("kappa2-d6-r3",)}
LARGE = {"kappa": (4,), "d": (7,), "r": (3,), "cell": ("kappa4-d6-r3",)}
# A table for kinds that read a file, of 120 rows to train on.
FOLDER = Path(tempfile.mkdtemp(prefix="mdvae-tests-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
np.save(FOLDER / "x.npy", np.random.default_rng(0).normal(3.0, 0.2, (180, 6)))
np.save(FOLDER / "given.npy", np.random.default_rng(3).normal(5.0, 2.0, (180, 2)))
# And images of three classes.
np.savez(
    FOLDER / "images.npz",
    images=np.random.default_rng(1).integers(0, 256, (180, 8, 8, 2), np.uint8),
    labels=np.arange(180) % 3,
)
# And sequences of four points.
np.save(FOLDER / "sequences.npy", np.random.default_rng(2).normal(3.0, 0.2, (90, 4, 5)))
# Small values for fields that kinds may have.
FIELDS = {"n_train": 120, "n_eval": 60, "hidden": (6, 5), "t": 2}
FIELDS |= {"channels": 2, "dense": 5, "scales": 2}
FIELDS |= {"length": 3, "past": 1}
FIELDS |= {"critic_hidden": (6,), "critic_steps": 3}
FIELDS |= {"prior_hidden": (4,), "decoder_dense": 4}
# A mask that moves from the first step on.
FIELDS |= {"mask_after": 0.0, "theta_min": 0.0}
OWN_FIELDS = {
    "array": {"path": str(FOLDER / "x.npy")},
    "array_given": {"path": str(FOLDER / "x.npy"), "given": str(FOLDER / "given.npy")},
    "sequence_array": {"path": str(FOLDER / "sequences.npy"), "n_eval": 0.3},
    "lstm": {"hidden": (5,)},
    "images": {"dataset": "file", "path": str(FOLDER / "images.npz"), "n_train": 0},
    "nested": {"inner": 1},
    "dsprites": {"places": (3, 2, 5, 4, 4), "side": 32},
    # Of a sweep that is trained where it is asked for.
    "latents": {"first": lambda: str(finished_run(TINY)[0])},
}
# Choices that make other programs; each is a case of its own beside the defaults.
VARIANTS = {
    "vae": [{}, {"model": "cvae"}],
    "lmgae": [{}, {"reconstruction": "norm", "penalised": "unmasked", "mask_moments": "common"}],
    "ivae_mlp": [{}, {"prior": "both", "decoder_told": True, "scaling": "batch"}],
    "ivae_conv": [{"likelihood": "bernoulli", "scaling": "batch", "prior_of": "last"}],
    "mlp": [
        {},
        {"prior": "learned", "attention": True},
        {"prior": "learned", "attention": True, "skip": True},
        {"skip": True},
        {"heads": "point", "initial": "glorot"},
    ],
    "resnet": [{"pooling": "flatten"}, {"prior": "learned", "attention": True}],
    "infogan": [{"spectral": True, "covariance": "full", "gamma": "closed"}],
    "lstm": [
        {},
        {"model": "cvae", "past": 0, "prior": "shared", "shared_updates": "twice", "skip": True},
    ],
    "scale_blocks": [{"precision": "bfloat16", "gamma": "own_rate"}],
}
FOR_IMAGES = {
    name for name in NETWORKS.names() if issubclass(NETWORKS.find(name).settings, ImageNetworks)
}
IMAGES = {"images", "dsprites"}
OF_SEQUENCES = {"sequences", "sequence_array"}
# Methods whose encoder needs no variance, with the optimiser of theirs.
OF_POINTS = {"lmgae", "wae"}
STEPS, BATCH = 12, 30


def case_config(data, method, networks, optimiser, changes):
    """A small config of some kinds, or None where the changes do not go together."""
    config = default_config(data=data, method=method, networks=networks, optimiser=optimiser)
    config.update({"name": "case", "seeds": 2, "steps": STEPS, "batch_size": BATCH})
    config.update({"log_every": 4, "save_every": 5, "eval_every": 8})
    kinds = {"data": [data], "method": [method], "networks": [networks], "optimiser": [optimiser]}
    known = known_axes(kinds)
    config.grid = {
        name: {axis: values for axis, values in axes.items() if axis in known}
        for name, axes in (("small", SMALL), ("large", LARGE))
    }
    for section in kinds:
        own = {**OWN_FIELDS.get(data, {}), **OWN_FIELDS.get(networks, {})}
        for name, value in {**FIELDS, **own, **changes}.items():
            if name in config[section]:
                config[section].update({name: value() if callable(value) else value})
    return config


def left_out(data, method, networks, optimiser, changes):
    """Whether another case has all and more, of methods whose encoder is a point or may be."""
    if method not in OF_POINTS:
        simple = data == "manifold" and not changes
        return "heads" in changes or (optimiser == "rmsprop" and not simple)
    if optimiser != "rmsprop" or data not in ("manifold", "array", "images"):
        return True
    both = [name in changes for name in ("heads", "penalised")]
    if method == "wae":  # "lmgae" has all of it and a mask
        return data != "manifold" or not both[0]
    if networks == "mlp":
        return data == "images" or not all(both)
    return both[1]


def other_of_ivae(data, method, networks, optimiser):
    """Whether a case is of an iVAE's method, networks or data without the others."""
    if method != "ivae":
        return networks.startswith("ivae_") or data in ("nested", "dsprites")
    if optimiser != "adam" or data not in ("manifold", "nested", "dsprites"):
        return True
    return networks != ("ivae_conv" if data == "dsprites" else "ivae_mlp")


def all_cases():
    found = {}
    kinds = (DATA.names(), METHODS.names(), NETWORKS.names(), OPTIMISERS.names())
    for names in itertools.product(*kinds):
        if not FOR_IMAGES.isdisjoint(names) and IMAGES.isdisjoint(names):
            continue
        if other_of_ivae(*names):
            continue
        if ("lstm" in names) != (not OF_SEQUENCES.isdisjoint(names)):
            continue
        for several in itertools.product(*(VARIANTS.get(name, [{}]) for name in names)):
            changes = {k: v for each in several for k, v in each.items()}
            conditional = changes.get("model") == "cvae" or "ivae" in names
            if left_out(*names, changes):
                continue
            if "ivae" in names and "nested" in names and changes:
                continue  # seen on the other manifold
            if "prior" in changes and not conditional:
                continue  # of no effect without a condition
            if "mlp" in names and "prior" in changes and "manifold" not in names:
                continue  # seen on one kind of data
            if "mlp" in names and conditional and "skip" in changes and "prior" not in changes:
                continue  # seen with a learned prior
            if conditional and not {"array", "latents", "random_net"}.isdisjoint(names):
                continue  # has no condition
            if "mlp" in names and not conditional and ("skip" in changes) != ("latents" in names):
                continue  # what a second stage has
            if not conditional and not {"varying_t", "array_given"}.isdisjoint(names):
                continue  # the same as on "manifold", or as "array"
            if "resnet" in names and conditional != ("prior" in changes):
                continue  # one VAE and one CVAE, with all that they can have
            if "sequence_array" in names and "prior" in changes:
                continue  # seen on the other sequences
            if not conditional and {"infogan", "scale_blocks", "lstm"} & set(names):
                continue  # a CVAE has all and more
            words = [*names, *(f"{k}={v}" for k, v in changes.items())]
            found["-".join(words)] = (*names, changes)
    return found


CASES = all_cases()
# Cases of which another one has all and more, or what they add on other data; or which take long.
LESSER = ["manifold-vae-mlp-adam-model=cvae", "union-vae-mlp-adam"]
LESSER += ["varying_t-vae-mlp-adam-model=cvae", "sequence_array-vae-lstm-adam-model=cvae"]
LESSER += ["array_given-vae-mlp-adam-model=cvae", "union-vae-mlp-adam-model=cvae"]
LESSER += ["array-vae-mlp-adam", "random_net-vae-mlp-adam"]
LESSER += [name for name in CASES if name.startswith("sequences-")]
LESSER += [name for name in CASES if "resnet" in name]
WITH_PRIOR = "manifold-vae-mlp-adam-model=cvae-prior=learned-attention=True"
LESSER += [WITH_PRIOR, f"{WITH_PRIOR}-skip=True"]
LESSER += ["latents-vae-mlp-adam-skip=True", "images-vae-mlp-adam-model=cvae"]
LESSER += [name for name in CASES if "-ivae-" in name]
# And of networks on images, which take long to compile, all but one.
EVERYDAY = "images-vae-mlp-adam-model=cvae"
SLOW = [name for name in CASES if name.startswith("dsprites-")]
SLOW += [name for name in CASES if name.startswith("images-") and not name.startswith(EVERYDAY)]
# And of methods with a critic, all but the padding of one.
WITH_CRITIC = [name for name, case in CASES.items() if case[1] in OF_POINTS]
LESSER += [*WITH_CRITIC, "manifold-vae-mlp-rmsprop"]
# And of data that differ from manifolds in their source alone.
SLOW += ["sequence_array-vae-lstm-adam-model=cvae", "latents-vae-mlp-adam-skip=True"]
SLOW += [f"{WITH_PRIOR}-skip=True"]
SLOW += [name for name in WITH_CRITIC if not name.startswith("manifold-lmgae-mlp-rmsprop-")]


def marks_of(name, slow):
    return [pytest.mark.long] * (name in slow)


each_case = pytest.mark.parametrize(
    "case", [pytest.param(CASES[name], id=name, marks=marks_of(name, SLOW)) for name in CASES]
)
each_trained = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=marks_of(name, LESSER + SLOW)) for name in CASES]
)


def make_batch(cell, sizes, n):
    """Training samples of a cell, padded to some sizes."""
    kind = DATA.find(cell.data.kind)
    law, table = kind.law([cell.data], sizes), kind.table(cell.data, 0)
    if kind.traced:
        table = jax.tree.map(lambda column: column[0], stack_tables([table]))
    made = dict(kind.make(law, table, n, "train", None))
    if not kind.traced and units_of(cell) is not OWN:
        for name in made.keys() & set(kind.in_units):
            rows = np.moveaxis(made[name], kind.sample_axis, 0)
            made[name] = np.moveaxis(to_networks(units_of(cell), rows), 0, kind.sample_axis)

    def padded(x, shape):
        wanted = list(shape)
        wanted.insert(kind.sample_axis % x.ndim, n)
        return jnp.pad(x, [(0, m - k) for k, m in zip(x.shape, wanted, strict=True)])

    # What is made on the host is padded by the engine.
    return kind.seen({k: padded(jnp.asarray(made[k]), s) for k, s in kind.shapes(sizes).items()})


def cut(batch, shapes, axis):
    """The leading part of a batch at smaller sizes."""
    found = {}
    for name, shape in shapes.items():
        x = batch[name]
        index = [slice(k) for k in shape]
        index.insert(axis % x.ndim, slice(None))
        found[name] = x[tuple(index)]
    return found


@each_case
def test_padded_equals_unpadded(case):
    """Data, one step's change of every parameter, what is logged and what is scored."""
    cells = make_cells(resolve(case_config(*case)))
    (group, *_) = make_groups(cells)
    cell, kind = min(group.cells, key=lambda each: each.sizes), kind_of(group)
    assert cell.sizes != group.sizes
    wide_method, method = make_method(group, STEPS), make_method(Group((cell,), cell.sizes), STEPS)
    wide, true = make_batch(cell, group.sizes, BATCH), make_batch(cell, cell.sizes, BATCH)
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-7),
        cut(wide, kind.shapes(cell.sizes), kind.sample_axis),
        true,
    )
    numbers = {name: np.float32(value) for name, value in cell_numbers(cell).items()}
    state = method.start(method.init(jax.random.key(1), cell), numbers)
    fit = networks_of(cell).fit
    if fit is not None:
        state = state._replace(stats={**state.stats, **fit(jax.tree.map(np.asarray, true))})
    template = padded_shapes(wide_method, group)
    wide_state = pad_like(state, template)
    wide_noise = wide_method.noise(jax.random.key(2), BATCH)
    shapes = jax.eval_shape(lambda key: method.noise(key, BATCH), jax.random.key(2))
    # The padded axis of noise leads, and samples are last.
    noise = unpad_like(wide_noise, shapes)
    assert all(leaf.shape[-1] == BATCH for leaf in jax.tree.leaves(noise))

    close = partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-6)
    scores = jax.jit(method.score)(state, true, noise, numbers)
    wide_scores = jax.jit(wide_method.score)(wide_state, wide, wide_noise, numbers)
    assert set(method.blocks) <= set(scores)
    for name, values in scores.items():
        jax.tree.map(close, wide_scores[name][tuple(slice(n) for n in values.shape)], values)
    end, info = jax.jit(method.step)(state, true, noise, numbers)
    wide_end, wide_info = jax.jit(wide_method.step)(wide_state, wide, wide_noise, numbers)
    assert set(info) == set(method.logged)
    jax.tree.map(close, {k: wide_info[k] for k in info}, info)
    # The state of the optimiser holds the gradients: they agree, and padding has none. Those that
    # batch normalisation makes zero are rounding, of the size of what they are differences of.
    if cell.sizes.shape and hasattr(end.opt, "mu"):
        largest_of = max(np.abs(leaf).max() for leaf in jax.tree.leaves(end.opt.mu))
        close = partial(np.testing.assert_allclose, rtol=2e-3, atol=1e-3 * largest_of)
    jax.tree.map(close, unpad_like(wide_end, end), end)
    rebuilt = pad_like(unpad_like(wide_end, end), template)
    jax.tree.map(np.testing.assert_array_equal, rebuilt.params, wide_end.params)
    assert any(
        np.abs(np.asarray(a) - np.asarray(b)).max() > 0
        for a, b in zip(jax.tree.leaves(end.params), jax.tree.leaves(state.params), strict=True)
    )


def train(cells, seeds, n_devices=1):
    """States, metrics and evaluations of all runs of one group, and what was compiled."""
    (group, *_) = make_groups(cells)
    runs = [Run(cell, seed) for seed in seeds for cell in group.cells]
    (placement,) = split_runs(runs, 1, n_devices)
    mesh = run_mesh(jax.devices()[:n_devices])
    trainer = Trainer(group, partial(make_method, steps=STEPS), mesh, [placement])
    loaded = trainer.load(placement)
    state = trainer.chunk(loaded, trainer.init(loaded), 0, STEPS)
    evaluation = trainer.evaluate(loaded, state)
    found = take_runs(state, len(runs))
    return (
        trainer,
        group,
        {
            (run.cell.name, run.seed): jax.tree.map(lambda leaf, i=i: leaf[i], (found, evaluation))
            for i, run in enumerate(runs)
        },
    )


@pytest.fixture(autouse=True)
def _forgets_programs():
    """A module of other programs in every test: a process may map no more than 65,530 pieces."""
    yield
    jax.clear_caches()


def is_normalised(cell):
    """Batch normalisation undoes biases: Adam walks them by rounding alone."""
    return cell.networks.kind in ("infogan", "resnet")


@cache
def ensemble_of(name):
    """The runs of a case, of all cells of its first group and two seeds, on two devices."""
    trained = train(make_cells(resolve(case_config(*CASES[name]))), (0, 1), n_devices=2)
    assert trained[0]._chunk._cache_size() == 1
    return trained


@each_trained
def test_a_run_is_the_same_alone_and_in_an_ensemble(name):
    _, group, together = ensemble_of(name)
    cell = min(group.cells, key=lambda each: each.sizes)
    _, _, alone = train([cell], (1,))
    method = make_method(Group((cell,), cell.sizes), STEPS)
    true = true_shapes(method, cell)
    (state, evaluation), (own, own_evaluation) = together[cell.name, 1], alone[cell.name, 1]
    close = partial(np.testing.assert_allclose, rtol=2e-3, atol=2e-4)
    if not is_normalised(cell):
        jax.tree.map(close, unpad_like(state.train, true), own.train)
    jax.tree.map(close, state.meter, own.meter)
    assert int(own.meter[COUNT]) == STEPS
    for name, values in own_evaluation.means.items():
        parts = evaluation.means[name][: len(cell.parts)]
        close(parts[tuple(slice(n) for n in values.shape)], values)


@each_trained
def test_a_chunk_is_a_python_loop(name):
    """Of the largest cell, which is not padded."""
    _, group, found = ensemble_of(name)
    cell = max(group.cells, key=lambda each: each.sizes)
    assert cell.sizes == group.sizes
    kind, method = kind_of(group), make_method(group, STEPS)
    n, _ = kind.samples(cell.data)
    data = jax.tree.map(np.asarray, make_batch(cell, cell.sizes, n))
    numbers = {name: np.float32(value) for name, value in cell_numbers(cell).items()}
    state = method.start(method.init(purpose_key(0, "init"), cell), numbers)
    fit = networks_of(cell).fit
    if fit is not None:
        seen = data
        if kind.noise is not None:
            seen = kind.drawn(data, kind.noise(cell.sizes, purpose_key(0, "fit"), n))
        state = state._replace(stats={**state.stats, **fit(jax.tree.map(np.asarray, seen))})
    step = jax.jit(method.step)
    for i in range(STEPS):
        key = jax.random.fold_in(purpose_key(0, "step"), i)
        if kind.order_of(group.cells[0].data) == "window":
            key, key_offset = jax.random.split(key)
            places = (int(jax.random.randint(key_offset, (), 0, n)) + np.arange(BATCH)) % n
        else:
            epoch, place = divmod(i, n // BATCH)
            order = jax.random.permutation(jax.random.fold_in(purpose_key(0, "epoch"), epoch), n)
            places = np.asarray(order)[place * BATCH : (place + 1) * BATCH]
        batch = {k: jnp.asarray(np.take(x, places, kind.sample_axis)) for k, x in data.items()}
        if kind.noise is not None:
            batch = kind.drawn(batch, kind.noise(cell.sizes, jax.random.fold_in(key, 1), BATCH))
        state, _ = step(state, batch, method.noise(key, BATCH), numbers)
    end, _ = found[cell.name, 0]
    close = partial(np.testing.assert_allclose, rtol=2e-3, atol=2e-4)
    if is_normalised(cell):
        few = {k: jnp.asarray(np.take(x, range(BATCH), kind.sample_axis)) for k, x in data.items()}
        noise = method.noise(jax.random.key(3), BATCH)
        scores = [jax.jit(method.score)(each, few, noise, numbers) for each in (end.train, state)]
        judged = "nelbo" if "nelbo" in scores[0] else "recon"
        close(scores[0][judged], scores[1][judged])
        return
    jax.tree.map(close, end.train, state)


@each_case
def test_a_config_survives_json(case):
    config = resolve(case_config(*case))
    assert from_json(json.loads(json.dumps(config.to_json()))) == config
    assert [cell.name for cell in make_cells(config)] == [
        cell.name for cell in make_cells(from_json(config.to_json()))
    ]


# The fewest choices of each method and kind of data go through the command; of images, which are
# cut off in the middle of an epoch, MLPs and convolutions. tests/test_sweep.py interrupts it in
# more ways, on manifolds.
KILLED: dict = {}
for name, case in CASES.items():
    key = case[:3] if case[0] == "images" else case[:2]
    if key[2:] in ((), ("mlp",), ("resnet",)):
        everyday = key == ("array", "vae")
        marks = [] if everyday else [pytest.mark.long]
        KILLED.setdefault(key, pytest.param(case, id=name, marks=marks))


@pytest.mark.parametrize("case", KILLED.values())
def test_killed_and_resumed_is_undisturbed(case, tmp_path, monkeypatch):
    config = case_config(*case)  # may train a first sweep, of a config of its own

    def run(path):
        monkeypatch.setattr(sweep.cli, "load_config", lambda _: copy.deepcopy(config))
        monkeypatch.setattr(sweep, "write_report", lambda _: None)
        return sweep.main(["sweep", f"--config={__file__}", f"--workdir={path}"])

    assert run(tmp_path / "whole") == 0
    with killed_at_checkpoint(2):
        run(tmp_path / "broken")
    assert run(tmp_path / "broken") == 0
    for file in (tmp_path / "whole").glob("*.*"):
        if file.name not in ("manifest.json", "config.json"):
            assert (tmp_path / "broken" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("section", "kind"), [(s, k) for s, registry in SECTIONS.items() for k in registry.names()]
)
def test_fields_are_declared_whole(section, kind):
    """Defaults keep their own rules, rules say what would be right, and all is written up."""
    settings = SECTIONS[section].find(kind).settings
    assert dataclasses.is_dataclass(settings)
    for name, field in fields_of(settings).items():
        assert field.required or field.default is None or field.rule.accepts(field.default), name
        assert field.rule.words
        assert not field.required or field.role != FIXED
    assert settings.__doc__
    # An axis is told by its name alone.
    known_axes({s: registry.names() for s, registry in SECTIONS.items() if s != "analysis"})


def first_of(method):
    """The first case of a method that is trained in the short tests, or of all."""
    names = [name for name, case in CASES.items() if case[1] == method]
    return min(names, key=lambda name: name in LESSER + SLOW)


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(name, marks=marks_of(name, set(METHODS.names()) - {"vae"}))
        for name in METHODS.names()
    ],
)
def test_what_is_not_paced_by_the_steps_is_the_same_however_many_there_are(method):
    """With each field that paces a run at the value at which it does not; see `settings.growth`."""
    config = case_config(*CASES[first_of(method)])
    for section in ("data", "method", "networks", "optimiser"):
        for name, field in fields_of(SECTIONS[section].find(config[section].kind).settings).items():
            if field.paced_but is not None:
                config[section][name] = field.paced_but
    cell = make_cells(resolve(config))[0]
    assert not list(paced_by(cell))
    numbers = {name: np.float32(value) for name, value in cell_numbers(cell).items()}
    batch, found = make_batch(cell, cell.sizes, BATCH), []
    for steps in (STEPS, 50 * STEPS):
        made = make_method(Group((cell,), cell.sizes), steps)
        state, step = (
            made.start(made.init(purpose_key(0, "init"), cell), numbers),
            jax.jit(made.step),
        )
        for i in range(STEPS - 1, STEPS + 2):
            noise = made.noise(jax.random.key(i), BATCH)
            state, info = step(state._replace(step=jnp.int32(i)), batch, noise, numbers)
        found.append((state, info))
    jax.tree.map(np.testing.assert_array_equal, *found)


def test_largest_sizes_hold_every_cell():
    cells = make_cells(resolve(case_config("manifold", "vae", "mlp", "adam", {})))
    sizes = largest(cells)
    assert all(a <= b for cell in cells for a, b in zip(cell.sizes, sizes, strict=True))
