"""Every config file builds, at its published protocol too, and takes a small real step."""

import atexit
import csv
import shutil
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from runs import run_sweep

import mdvae
from mdvae import cli
from mdvae.analysis.estimates import settled_lines
from mdvae.analysis.summary import published_rows
from mdvae.data import image_sources, images
from mdvae.data.base import stack_tables
from mdvae.data.image_files import Images
from mdvae.methods.base import cell_numbers, make_method, networks_of
from mdvae.settings.config import resolve
from mdvae.settings.fields import FIXED, fields_of
from mdvae.settings.grid import Group, make_cells, make_groups
from mdvae.settings.registry import DATA

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.py"))
# For each of the eight updates of a step of LMGAE, and the seven of WAE.
SAMPLES = 56
SMALL = (
    "--config.steps=2",
    "--config.data.n_train=200",
    "--config.data.n_eval=50",
    f"--config.batch_size={SAMPLES}",
    "--config.seeds=2",
)
# What a user brings to configs/array.py, and to configs/sequences.py.
TABLE = Path(tempfile.mkdtemp(prefix="mdvae-tests-")) / "x.npy"
atexit.register(shutil.rmtree, TABLE.parent, ignore_errors=True)
np.save(TABLE, np.random.default_rng(0).normal(3.0, 0.2, (200, 6)))
SEQUENCES = TABLE.parent / "sequences.npy"
np.save(SEQUENCES, np.random.default_rng(1).normal(3.0, 0.2, (250, 8, 3)))
OWN = {"array": TABLE, "sequence_array": SEQUENCES}
COMMON = (
    "steps",
    "batch_size",
    "save_every",
    "seeds",
    "seed",
    "protocol",
    "data.n_eval",
    "optimiser.learning_rate",
    "networks.kappa",
)


def path_of(name):
    return ROOT / "configs" / f"{name}.py"


def load(path):
    return cli.load_config(str(path))


def small(path, protocol):
    """A config at a protocol, resolved, with few samples and steps."""
    config = load(path)
    config.update({"protocol": protocol, "seeds": 1, "steps": 2, "batch_size": SAMPLES})
    config.data.n_eval = 50
    if config.data.kind in OWN:
        config.data.path = str(OWN[config.data.kind])
    else:
        config.data.n_train = 200
    if config.data.kind == "images":  # those that come with mdvae, enough of each class
        config.data.update({"dataset": "mnist_sample", "n_eval": 400})
        grids = [axes for axes in config.grid.values() if isinstance(axes, ConfigDict)]
        for axes in grids or [config.grid]:
            axes.dataset = ("mnist_sample",)
    return resolve(config, {"batch_size", "steps", "data.n_eval"})


def choices(cell):
    """What decides the program of a cell, sizes apart."""
    sections = (cell.data, cell.method, cell.networks, cell.optimiser)
    fixed = (
        getattr(section, name)
        for section in sections
        for name, field in fields_of(section).items()
        if field.role == FIXED
    )
    return (*cell.static, *fixed)


PROTOCOLS = [(path, name) for path in CONFIGS for name in ("mdvae", *load(path).protocols)]
IMAGES, SPRITES, LSTMS = (
    {f"{path.stem}-{name}" for path, name in PROTOCOLS if kind in load(path)[section].kind}
    for section, kind in (("data", "images"), ("data", "dsprites"), ("networks", "lstm"))
)
ONE_IS_ENOUGH = {"sequences-mdvae", "lmgae_synthetic-mdvae"}


def all_programs():
    """A cell of each kind of program that the configs have, with the configs that have it."""
    found = {}
    for path, protocol in PROTOCOLS:
        config = small(path, protocol)
        for group in make_groups(make_cells(config), config.group_by):
            cell = group.cells[-1]
            found.setdefault(choices(cell), (cell, set()))[1].add(f"{path.stem}-{protocol}")

    def marks(names):
        # Networks on images and sequences, and critics, take long to compile.
        slow = not names.isdisjoint(IMAGES | SPRITES | LSTMS) or min(names).startswith("lmgae_")
        return [pytest.mark.long] * (slow and names.isdisjoint(ONE_IS_ENOUGH))

    return [
        pytest.param(cell, id="+".join(sorted(names)), marks=marks(names))
        for cell, names in found.values()
    ]


@pytest.mark.parametrize(("path", "protocol"), PROTOCOLS, ids=lambda value: Path(value).stem)
def test_config_builds(path, protocol):
    config = small(path, protocol)
    assert config.name == path.stem
    # The published networks are fed x as it is and have no output function.
    own = protocol == "mdvae" and config.data.kind != "array"
    if config.networks.kind == "lstm":
        published = protocol == "authors"
        assert (config.networks.shared_updates == "twice") == published
        assert (getattr(config.data, "batches", "random") == "in_turn") == published
    elif config.method.kind == "lmgae":
        assert config.optimiser.kind == "rmsprop"
        assert (config.networks.hidden == 4 * (1024,)) == (protocol == "authors")
        assert (config.method.polarise_every == 0) == (protocol == "authors")
    elif config.method.kind == "ivae":
        assert config.networks.kind.startswith("ivae_")
        assert config.analysis.kind == "polarised"
    elif config.networks.kind == "mlp":
        assert (config.networks.output == "linear") == (not own)
        assert (config.networks.encoder_input == "raw") == (protocol != "mdvae")
    elif config.networks.kind == "infogan":  # a config of the published recipe alone
        assert (config.optimiser.schedule, config.optimiser.learning_rate) == ("halved", 1e-4)
        assert config.networks.spectral
    else:
        assert (config.networks.pooling == "mean") == (protocol != "mdvae")
        assert (config.networks.evaluation == "batch") == (protocol == "authors")
        if not any("gamma" in axes for axes in config.grids.values()):
            assert (config.method.gamma == "adam") == (protocol == "authors")
    assert make_groups(make_cells(config), config.group_by)


def test_the_published_ivae_is_the_scale_of_an_accelerator():
    """26 epochs of 10,368 batches of 64, Adam at 1e-4, 30 latents, of all sprites."""
    config = load(path_of("ivae_dsprites"))
    config.scale = "gpu"
    found = resolve(config)
    (cell,) = make_cells(found)
    assert found.steps == 26 * 10_368
    assert (found.batch_size, cell.sizes.kappa, cell.sizes.shape) == (64, 30, (64, 64, 1))
    assert (cell.optimiser.schedule, cell.optimiser.learning_rate) == ("constant", 1e-4)
    assert (cell.networks.channels, cell.networks.prior) == (32, "variance")
    assert DATA.find(cell.data.kind).samples(cell.data) == (64 * 10_368, 73_728)


def absent(dataset, directory, split):
    """In place of images that do not come with mdvae: some of their shape and kind."""
    if dataset.endswith("_sample"):
        return image_sources.load(dataset, directory, split)
    known, generator = image_sources.expected(dataset, split), np.random.default_rng(0)
    x = generator.integers(0, 256, (SAMPLES, *known.shape), dtype=np.uint8)
    return Images(x, np.arange(SAMPLES) % known.classes if known.classes else None)


@pytest.mark.parametrize("cell", all_programs())
def test_every_program_of_the_configs_takes_a_step(cell, monkeypatch):
    """Made data, one step of training and its evaluation."""
    monkeypatch.setattr(images, "load", absent)
    kind, method = DATA.find(cell.data.kind), make_method(Group((cell,), cell.sizes), 2)
    law, networks = kind.law([cell.data], cell.sizes), networks_of(cell)
    if kind.traced:
        table = jax.tree.map(lambda column: column[0], stack_tables([kind.table(cell.data, 0)]))
        batch = jax.jit(lambda table: dict(kind.make(law, table, SAMPLES, "train", None)))(table)
    else:
        made = kind.make(law, kind.table(cell.data, 0), SAMPLES, "train", None)
        batch = {name: np.asarray(made[name]) for name in kind.shapes(cell.sizes)}
        batch = {name: np.asarray(x, np.float32) for name, x in kind.seen(batch).items()}
    fitted = networks.fit(jax.device_get(batch)) if networks.fit else {}

    @jax.jit
    def train(key, batch, numbers):
        state = method.start(method.init(key, cell), numbers)
        state = state._replace(stats={**state.stats, **fitted})
        state, logged = method.step(state, batch, method.noise(key, SAMPLES), numbers)
        return state.params, logged, method.score(state, batch, method.noise(key, SAMPLES), numbers)

    numbers = {name: jnp.float32(value) for name, value in cell_numbers(cell).items()}
    found = jax.device_get(train(jax.random.key(0), batch, numbers))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))
    assert found[2]["recon"].shape == (SAMPLES,)


def swept(name, path, *flags, figures=True):
    """A config trained for a moment by the command, opened; with its figures and its report."""
    assert run_sweep(str(path_of(name)), path, *SMALL, *flags, figures=figures) == 0
    run = mdvae.load_run(path)
    assert {row["status"] for row in run.results} == {"ok"}
    assert len(run.results) == len(run.cells) * len(run.seeds)
    drawn = {file.name for file in (path / "figures").glob("*.png")}
    return run, drawn, (path / "report.md").read_text()


def test_quickstart_trains_and_reports(tmp_path, capsys):
    flags = ("--config.grid.d=(20,)", "--config.grid.r=(2,)")
    _, figures, text = swept("quickstart", tmp_path / "w", *flags)
    assert "| " in capsys.readouterr().out
    assert {"ad_against_r.png", "spectra.png", "training.png", "samples.png"} <= figures
    assert "paper AD" in text


@pytest.mark.long
def test_table5_trains_and_reports(tmp_path):
    run, figures, text = swept("table5", tmp_path / "w", "--config.grid.attention=(True,)")
    (cell,) = run.cells
    logged = dict.fromkeys(("nelbo", "recon", "log_gamma"), 0.0)
    metrics = [{"cell": cell.name, "step": step, **logged} for step in (0, 1, 2)]
    settled = settled_lines(metrics, run.cells, run.config.steps)
    assert [line["step"] for line in settled] == [1, 2]  # 0.3 of 2 steps rise
    assert len(run.parts) == 2 * 5  # classes, of each run
    assert {row["expected_ad"] for row in run.parts} == {1, 2, 3, 4, 5}
    assert sum(row["fraction"] for row in run.counts) == pytest.approx(2 * 5.0, rel=1e-5)
    for row in run.parts:
        ratios = run.spectrum(cell, row["seed"], row["part"])
        assert ratios.shape == (40,)
        assert row["ad"] == np.sum(ratios < run.config.analysis.ad_threshold)
        assert not np.array_equal(ratios, run.spectrum(cell, row["seed"]))
    assert {"parts.png", "samples.png"} <= figures
    assert "attention=True: AD by the 0.05 rule is as expected in" in text
    assert (tmp_path / "w" / "part_summary.csv").is_file()


@pytest.mark.long
def test_theorem2_trains_and_has_rates(tmp_path):
    flags = ("--config.grid.t=(2,5)", "--config.grid.log_gamma=(-4.,-3.)")
    swept("theorem2", tmp_path / "w", *flags, figures=False)
    with open(tmp_path / "w" / "rates.csv", newline="") as file:
        rates = list(csv.DictReader(file))
    # Theorem 2: d - r + t, with d = 20 and r = 6.
    assert [float(row["theory"]) for row in rates] == [16.0, 19.0]


@pytest.mark.long
def test_plane_trains_and_reports(tmp_path):
    run, figures, text = swept("plane", tmp_path / "w", "--config.grid.prior=('learned',)")
    assert "samples.png" in figures
    assert "Remark 1: turned into" in text
    (learned,) = run.cells
    assert learned.networks.prior == "learned"
    batch = run.batch(learned, 0, 50)
    before = run.nelbo(learned, 0, *batch)
    after = run.nelbo(learned, 0, *batch, standard_prior=True)
    np.testing.assert_allclose(after, before, rtol=1e-10)
    (row,) = [row for row in run.results if row["seed"] == 0]
    assert before.mean() == pytest.approx(row["nelbo"], rel=0.1)  # other draws of z
    samples_of_the_prior_and_decoder(run, learned, batch[1][:1])


def samples_of_the_prior_and_decoder(run, cell, c):
    """Samples given c have the moments of z ~ p(z | c) decoded, and of gamma on top."""
    n, params = 20_000, run.params(cell, 0)
    prior = networks_of(cell).prior
    mean, logvar = (np.asarray(part) for part in prior(params, {"c": c.T}))
    z = mean.T + np.exp(0.5 * logvar.T) * np.random.default_rng(0).normal(
        size=(n, cell.sizes.kappa)
    )
    many = np.repeat(c, n, axis=0)
    expected = run.decode(cell, 0, z.astype(np.float32), many)
    samples = run.generate(cell, 0, n, c)
    tolerance = 5 * expected.std(axis=0).max() / np.sqrt(n)
    np.testing.assert_allclose(samples.mean(axis=0), expected.mean(axis=0), atol=tolerance)
    np.testing.assert_allclose(samples.std(axis=0), expected.std(axis=0), rtol=0.05)
    # A prior N(0, I) would show.
    wrong = run.decode(cell, 0, (z - mean.T).astype(np.float32), many).mean(axis=0)
    assert np.abs(wrong - expected.mean(axis=0)).max() > 2 * tolerance
    noisy = run.generate(cell, 0, n, c, noise=True)
    gamma = float(np.exp(params["log_gamma"]))
    np.testing.assert_allclose(noisy.var(axis=0), samples.var(axis=0) + gamma, rtol=0.05)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_has_the_common_fields_and_states_its_command(path):
    config = load(path)
    # Others have no gamma.
    of_vae = ("method.log_gamma_init",) if config.method.kind == "vae" else ()
    for name in (*COMMON, *of_vae):
        place = config
        for part in name.split("."):
            assert part in place
            place = place[part]
    assert ("n_train" in config.data) == (config.data.kind not in OWN)
    text = path.read_text()
    assert f"python -m mdvae.sweep --config configs/{path.name}" in text
    assert "CPU" in text


def test_table1_is_the_published_table():
    cells = make_cells(resolve(load(path_of("table1"))))
    published = published_rows("table1")
    assert len(make_groups(cells)) == 1
    assert {(cell.sizes.kappa, cell.sizes.d, cell.sizes.r) for cell in cells} == {
        (row["kappa"], row["d"], row["r"]) for row in published
    }
    assert len(cells) == len(published) == 18
    # Values copied from the printed table.
    by_cell = {(row["kappa"], row["d"], row["r"]): row for row in published}
    assert by_cell[20, 30, 2]["neg_elbo"] == -176.74
    assert by_cell[20, 10, 8]["ad"] == 7
    assert by_cell[5, 20, 10]["gamma"] == 1.113e-2


def test_authors_protocol_of_table1_is_the_published_recipe():
    config = load(path_of("table1"))
    config.networks.skip, config.protocol = True, "authors"
    resolved = resolve(config)
    networks, rate = resolved.networks, resolved.optimiser.learning_rate
    assert resolved.batch_size == resolved.data.n_train == 100_000
    assert (networks.hidden, networks.activation, networks.output) == ((16,), "relu", "linear")
    assert not networks.skip
    assert (resolved.steps, rate, resolved.method.log_gamma_init) == (50_000, 0.005, 0.0)
